//! Every schema and CEL rule has a fixture that is accepted and one that is refused with its words.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};
use spk_api::schema::{Schema, Shape};
use spk_api::{Kind, Manifest, Resource, manifest, rule};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    bases: BTreeMap<Kind, Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    rule: String,
    kind: Kind,
    good: Value,
    bad: Value,
    refused: String,
}

fn table() -> Table {
    serde_saphyr::from_str(include_str!("rules.yaml")).expect("rules.yaml is a table of cases")
}

/// JSON merge patch (RFC 7396).
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let map = into.as_object_mut().expect("made an object above");
    for (key, value) in patch {
        if value.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

fn admit(kind: Kind, base: &Value, patch: &Value) -> Manifest {
    let mut object = base.clone();
    merge(&mut object, patch);
    merge(&mut object, &json!({"kind": kind.name(), "metadata": {"name": "x"}}));
    Manifest::admit(kind, object, "demo").expect("the object has a name")
}

#[test]
fn each_rule_accepts_its_good_case_and_refuses_its_bad_one_with_its_words() {
    let table = table();
    for case in &table.cases {
        let base = &table.bases[&case.kind];
        let good = admit(case.kind, base, &case.good);
        assert!(good.content.is_ok(), "{} {:?}: {:?}", case.rule, case.good, good.content);
        let problems = admit(case.kind, base, &case.bad).content.expect_err(&case.refused);
        let messages: Vec<_> = problems.iter().map(|p| p.message()).collect();
        assert_eq!(messages, [case.refused.as_str()], "{} {:?}", case.rule, case.bad);
        assert_eq!(problems[0].code, case.rule);
    }
}

#[test]
fn no_cel_rule_is_without_a_case() {
    let tested: BTreeSet<_> = table().cases.into_iter().map(|case| case.rule).collect();
    for rule in rule::ALL {
        assert!(tested.contains(rule.id), "{} has no case in rules.yaml", rule.id);
    }
}

#[test]
fn an_accepted_object_reads_back_as_itself() {
    let table = table();
    for case in &table.cases {
        let good = admit(case.kind, &table.bases[&case.kind], &case.good);
        let stored = good.to_value().expect("the good case is accepted");
        let again = Manifest::admit(case.kind, stored, "elsewhere").expect("it has a name");
        assert_eq!(again, good);
    }
}

#[test]
fn a_minimal_object_has_exactly_the_schema_defaults() {
    let table = table();
    let filled: BTreeMap<_, _> = table
        .bases
        .iter()
        .map(|(kind, base)| (kind.name(), admit(*kind, base, &json!({})).to_value()))
        .collect();
    insta::assert_yaml_snapshot!(filled);
}

#[test]
fn empty_text_in_an_optional_address_or_name_is_absent() {
    let table = table();
    let kind = Kind::F5SPKIngressTCP;
    let patch = json!({"spec": {"ipv6destinationAddress": "", "snatpool": ""}});
    let with = admit(kind, &table.bases[&kind], &patch);
    let without = admit(kind, &table.bases[&kind], &json!({}));
    assert_eq!(with, without);
}

#[test]
fn a_kind_without_data_plane_is_recognised_and_its_contents_kept() {
    let kind = Kind::F5SPKIngressHTTP2;
    let base = json!({"apiVersion": "k8s.f5net.com/v1", "spec": {"anything": 1}});
    let manifest = admit(kind, &base, &json!({}));
    let Ok(Resource::Later(body)) = &manifest.content else { panic!("{:?}", manifest.content) };
    assert_eq!(body["spec"]["anything"], 1);
    assert_eq!(kind.later().map(|later| later.step), Some("telco"));
}

/// A value that the schema admits, with every field there is.
fn sample(schema: &Schema) -> Value {
    match &schema.shape {
        Shape::Bool => json!(true),
        Shape::Int(_, max) => json!(max),
        Shape::Text { .. } => schema.default.clone().filter(|d| d != "").unwrap_or(json!("1.1")),
        Shape::Enum(words) => json!(words[0]),
        Shape::Ipv4 | Shape::Ip => json!("192.0.2.1"),
        Shape::Ipv6 => json!("2001:db8::1"),
        Shape::Cidr4(..) | Shape::Cidr6(_) => schema.default.clone().expect("networks have one"),
        Shape::PortOrText => json!("80"),
        Shape::List { item, .. } => json!([sample(item)]),
        Shape::Labels(_) => json!({"a": "b"}),
        Shape::Object(fields) => {
            fields.iter().map(|f| (f.name.to_owned(), sample(&f.schema))).collect()
        }
    }
}

/// Values just outside the schema.
fn outside(schema: &Schema) -> Vec<Value> {
    match &schema.shape {
        Shape::Bool => vec![json!("true"), json!(1)],
        Shape::Int(min, max) => vec![json!(min - 1), json!(max + 1), json!("1"), json!(1.5)],
        Shape::Text { max, min, pattern } => {
            let mut bad = vec![json!("x".repeat(max + 1)), json!(1)];
            if *min > 0 && !schema.empty_is_absent {
                bad.push(json!(""));
            }
            bad.extend(pattern.iter().map(|_| json!("/")));
            bad
        }
        Shape::Enum(_) => vec![json!("?"), json!(true)],
        Shape::Ipv4 => vec![json!("192.0.2.01"), json!("192.0.2.0/24"), json!("2001:db8::1")],
        Shape::Ipv6 => vec![json!("fe80::1%eth0"), json!("192.0.2.1"), json!("2001:db8::/32")],
        Shape::Ip => vec![json!("192.0.2.256"), json!("host"), json!("2001:db8::/32")],
        Shape::Cidr4(min, max) => {
            vec![json!(format!("10.0.0.0/{}", min - 1)), json!(format!("10.0.0.0/{}", max + 1))]
        }
        Shape::Cidr6(_) => vec![json!("64:ff9b::/97"), json!("64:ff9b::")],
        Shape::PortOrText => vec![json!(65_536), json!("65536"), json!("http"), json!(-1)],
        Shape::List { item, min, max } => {
            let mut bad = vec![json!(vec![sample(item); max + 1]), json!("x")];
            bad.extend((*min > 0).then(|| json!([])));
            bad
        }
        Shape::Labels(max) => {
            let many: BTreeMap<_, _> = (0..=*max).map(|n| (n.to_string(), "x")).collect();
            vec![json!(many), json!({"a": 1}), json!([])]
        }
        Shape::Object(_) => vec![json!({"nosuchfield": 1}), json!([])],
    }
}

/// Places of every part of an object, with their schemas, in the form of JSON pointers.
fn places<'s>(schema: &'s Schema, at: &str, out: &mut Vec<(String, &'s Schema)>) {
    out.push((at.to_owned(), schema));
    match &schema.shape {
        Shape::Object(fields) => {
            for field in fields {
                places(&field.schema, &format!("{at}/{}", field.name), out);
            }
        }
        Shape::List { item, .. } => places(item, &format!("{at}/0"), out),
        _ => {}
    }
}

#[test]
fn every_field_of_every_kind_refuses_what_lies_outside_its_shape() {
    let mut checked = 0;
    for kind in Kind::ALL {
        let Some(schema) = manifest::body_schema(kind) else { continue };
        let good = sample(&schema);
        let mut problems = Vec::new();
        schema.admit(&mut good.clone(), &spk_api::Path::root(), &mut problems);
        assert_eq!(problems, [], "the sample of {kind} lies inside");
        let mut all = Vec::new();
        places(&schema, "", &mut all);
        for (pointer, part) in all.iter().filter(|(pointer, _)| !pointer.is_empty()) {
            for bad in outside(part) {
                let mut object = good.clone();
                *object.pointer_mut(pointer).expect("the sample has every field") = bad.clone();
                let mut problems = Vec::new();
                schema.admit(&mut object, &spk_api::Path::root(), &mut problems);
                let place = pointer.trim_start_matches('/').replace("/0", "[0]").replace('/', ".");
                let named = problems.iter().any(|p| p.path.as_str().starts_with(&place));
                assert!(named, "{kind} {pointer} = {bad}: {problems:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 500, "only {checked} values tried");
}
