//! Answers held against `openapi.json` (LIC-341): every answer that a test gets is looked up and
//! checked.

use std::sync::OnceLock;

use serde_json::Value;

use crate::client::Reply;

/// The published description.
pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| serde_json::from_str(include_str!("../../openapi.json")).unwrap())
}

/// Panics unless the description knows this answer. Paths and methods that it does not know are
/// none of the API's.
pub fn check(method: &str, path: &str, reply: &Reply) {
    let path = path.split('?').next().unwrap();
    if path == "/" || path.starts_with("/page") {
        // The page is for people: no part of the description.
        return;
    }
    let operation = &document()["paths"][path][method.to_ascii_lowercase()];
    if operation.is_null() {
        assert!(matches!(reply.status, 404 | 405 | 403 | 401 | 429), "{method} {path}: {reply:?}");
        return;
    }
    let response = &operation["responses"][reply.status.to_string()];
    assert!(!response.is_null(), "{method} {path}: status {} is not described", reply.status);
    let Some(kind) = reply.header("content-type") else {
        assert!(response.get("content").is_none(), "{method} {path}: no content type");
        return;
    };
    let kind = kind.split(';').next().unwrap();
    let content = &response["content"][kind];
    assert!(!content.is_null(), "{method} {path}: {kind} is not described");
    if kind.ends_with("json") {
        let wrong = violations(&content["schema"], &reply.json(), "");
        assert!(wrong.is_empty(), "{method} {path}: {wrong:?} in {}", reply.body);
    }
}

/// What of `value` breaks `schema`: the parts of JSON Schema that the description uses.
fn violations(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let pointer = name.strip_prefix('#').unwrap();
        return violations(document().pointer(pointer).unwrap(), value, at);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let fits = choices.iter().any(|choice| violations(choice, value, at).is_empty());
        return if fits { Vec::new() } else { vec![format!("{at} is none of its forms")] };
    }
    let mut wrong = Vec::new();
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let actual = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !types.is_empty() && !types.contains(&actual) {
        wrong.push(format!("{at} is {actual}, not {types:?}"));
        return wrong;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        wrong.push(format!("{at} is {value}, none of {allowed:?}"));
    }
    for (bound, broken) in [("minimum", -1), ("maximum", 1)] {
        if let (Some(bound), Some(number)) = (schema[bound].as_i64(), value.as_i64())
            && (number - bound).signum() == broken
        {
            wrong.push(format!("{at} is {number}, beyond {bound}"));
        }
    }
    if let (Some("date-time"), Some(text)) = (schema["format"].as_str(), value.as_str())
        && text.parse::<jiff::Timestamp>().is_err()
    {
        wrong.push(format!("{at} is no date"));
    }
    if let (Some("uuid"), Some(text)) = (schema["format"].as_str(), value.as_str())
        && uuid::Uuid::parse_str(text).is_err()
    {
        wrong.push(format!("{at} is no UUID"));
    }
    if let Some(items) = value.as_array() {
        for (index, item) in items.iter().enumerate() {
            wrong.extend(violations(&schema["items"], item, &format!("{at}/{index}")));
        }
    }
    if let Some(members) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            if !members.contains_key(name.as_str().unwrap()) {
                wrong.push(format!("{at} lacks {name}"));
            }
        }
        for (name, member) in members {
            match schema["properties"].get(name) {
                Some(schema) => wrong.extend(violations(schema, member, &format!("{at}/{name}"))),
                None if schema["additionalProperties"] == Value::Bool(false) => {
                    wrong.push(format!("{at} has {name} too much"));
                }
                None => {}
            }
        }
    }
    wrong
}

/// The checker itself refuses what it should.
#[test]
fn what_breaks_a_schema_is_found() {
    let accepted = &document()["components"]["schemas"]["Accepted"];
    let violated = |value: Value| !violations(accepted, &value, "").is_empty();
    assert!(!violated(serde_json::json!({ "state": 12, "text": "x" })));
    assert!(violated(serde_json::json!({ "state": 12 })));
    assert!(violated(serde_json::json!({ "state": 12, "text": "x", "more": 1 })));
    assert!(violated(serde_json::json!({ "state": 19, "text": "x" })));
    assert!(violated(serde_json::json!({ "state": "12", "text": "x" })));
    assert!(violated(serde_json::json!([])));
}

/// LIC-341's first half is checked at every answer of this suite; here the document itself: it is
/// what the program serves, and what it refers to is there.
#[test]
fn the_description_is_served_and_whole() {
    let rig = crate::rig::Rig::new("eval");
    let _cwc = rig.start();
    let served = rig.client().json("/openapi.json");
    assert_eq!(&served, document());
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match member.as_str() {
                        Some(target) if name == "$ref" => found.push(target.to_owned()),
                        _ => references(member, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(&served, &mut found);
    assert!(found.len() > 20);
    for target in found {
        assert!(served.pointer(target.strip_prefix('#').unwrap()).is_some(), "{target}");
    }
}
