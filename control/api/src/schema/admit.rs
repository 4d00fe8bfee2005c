//! What the API server does to a value: defaults, structure, ranges, patterns.
//!
//! Source: crds.md §3.2, §3.3.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value};

use super::{Field, Schema, Shape};
use crate::problem::{Path, Problem};

impl Schema {
    /// Checks `value`, which stands at `at`, fills its defaults and drops what counts as absent.
    /// Every problem is added to `out`, not only the first.
    pub fn admit(&self, value: &mut Value, at: &Path, out: &mut Vec<Problem>) {
        match &self.shape {
            Shape::Bool => expect(value.is_boolean(), value, "true or false", at, out),
            Shape::Int(min, max) => integer(value, *min, *max, at, out),
            Shape::Text { min, max, pattern } => {
                let Some(text) = string(value, at, out) else { return };
                let length = text.chars().count();
                if length < *min || length > *max {
                    let problem = format!("has {length} characters, allowed are {min} to {max}");
                    out.push(Problem::invalid(at, "length", problem, "change its length"));
                } else if let Some(pattern) = pattern
                    && !(pattern.matches)(text)
                {
                    let problem = format!("{text:?} does not match {}", pattern.regex);
                    let fix = format!("give {}", pattern.says);
                    out.push(Problem::invalid(at, "pattern", problem, fix));
                }
            }
            Shape::Enum(words) => {
                let Some(text) = string(value, at, out) else { return };
                if !words.contains(&text) {
                    let problem = format!("{text:?} is not a value of this field");
                    let fix = format!("use one of {}", words.join(", "));
                    out.push(Problem::invalid(at, "enum", problem, fix));
                }
            }
            Shape::Ipv4 => address(value, at, out, "an IPv4 address such as 192.0.2.10", |text| {
                text.parse::<Ipv4Addr>().is_ok()
            }),
            Shape::Ipv6 => {
                address(value, at, out, "an IPv6 address such as 2001:db8::10", |text| {
                    text.parse::<Ipv6Addr>().is_ok()
                });
            }
            Shape::Ip => address(value, at, out, "an IPv4 or IPv6 address without /len", |text| {
                text.parse::<IpAddr>().is_ok()
            }),
            Shape::Cidr4(min, max) => {
                address(value, at, out, "an IPv4 network such as 10.2.2.0/24", |text| {
                    network::<Ipv4Addr>(text).is_some_and(|n| (*min..=*max).contains(&n))
                });
            }
            Shape::Cidr6(pattern) => address(value, at, out, pattern.says, |text| {
                network::<Ipv6Addr>(text).is_some() && (pattern.matches)(text)
            }),
            Shape::PortOrText => port_or_text(value, at, out),
            Shape::List { item, min, max } => items(value, item, (*min, *max), at, out),
            Shape::Labels(max) => labels(value, *max, at, out),
            Shape::Object(fields) => object(value, fields, at, out),
        }
    }
}

fn object(value: &mut Value, fields: &[Field], at: &Path, out: &mut Vec<Problem>) {
    let Value::Object(map) = value else {
        expect(false, value, "an object", at, out);
        return;
    };
    for name in map.keys().filter(|name| !fields.iter().any(|field| field.name == **name)) {
        let fix = match nearest(name, fields) {
            Some(known) => format!("did you mean {known}?"),
            None => "remove it".to_owned(),
        };
        let problem = format!("unknown field {:?}", at.field(name).as_str());
        out.push(Problem::invalid(&at.field(name), "unknown_field", problem, fix));
    }
    for field in fields {
        admit_field(map, field, &at.field(field.name), out);
    }
}

fn admit_field(map: &mut Map<String, Value>, field: &Field, at: &Path, out: &mut Vec<Problem>) {
    let schema = &field.schema;
    if map.get(field.name).is_some_and(Value::is_null) {
        map.remove(field.name);
    }
    if !map.contains_key(field.name) {
        match &schema.default {
            Some(default) => {
                map.insert(field.name.to_owned(), default.clone());
            }
            None if schema.required => {
                out.push(Problem::invalid(at, "required", "is required", "add it"));
            }
            None => {}
        }
    }
    match map.get_mut(field.name) {
        // A default of "" stands for absent as well.
        Some(Value::String(text)) if text.is_empty() && schema.empty_is_absent => {
            map.remove(field.name);
        }
        Some(value) => schema.admit(value, at, out),
        None => {}
    }
}

fn items(
    value: &mut Value,
    item: &Schema,
    (min, max): (usize, usize),
    at: &Path,
    out: &mut Vec<Problem>,
) {
    let Value::Array(list) = value else {
        expect(false, value, "a list", at, out);
        return;
    };
    if list.len() < min || list.len() > max {
        let problem = format!("has {} entries, allowed are {min} to {max}", list.len());
        out.push(Problem::invalid(at, "items", problem, "change the number of entries"));
    }
    for (index, entry) in list.iter_mut().enumerate() {
        item.admit(entry, &at.index(index), out);
    }
}

fn labels(value: &Value, max: usize, at: &Path, out: &mut Vec<Problem>) {
    let Value::Object(map) = value else {
        expect(false, value, "an object of labels", at, out);
        return;
    };
    if map.len() > max {
        let problem = format!("has {} entries, at most {max} are allowed", map.len());
        out.push(Problem::invalid(at, "items", problem, "remove some"));
    }
    for (name, label) in map {
        expect(label.is_string(), label, "a string", &at.field(name), out);
    }
}

fn integer(value: &Value, min: i64, max: i64, at: &Path, out: &mut Vec<Problem>) {
    let Some(number) = value.as_i64() else {
        expect(false, value, "a whole number", at, out);
        return;
    };
    if number < min || number > max {
        let problem = format!("{number} is outside {min} to {max}");
        out.push(Problem::invalid(at, "range", problem, format!("use {min} to {max}")));
    }
}

fn port_or_text(value: &Value, at: &Path, out: &mut Vec<Problem>) {
    let number = match value {
        Value::Number(_) => return integer(value, 0, 65_535, at, out),
        Value::String(text) if (crate::pattern::PORT_TEXT.matches)(text) => text.parse::<i64>(),
        _ => {
            expect(false, value, "a port as number or string", at, out);
            return;
        }
    };
    if number.is_ok_and(|number| number > 65_535) {
        out.push(Problem::invalid(at, "range", "is above 65535", "use 0 to 65535"));
    }
}

fn address(
    value: &Value,
    at: &Path,
    out: &mut Vec<Problem>,
    want: &str,
    good: impl Fn(&str) -> bool,
) {
    let Some(text) = string(value, at, out) else { return };
    if !good(text) {
        let problem = format!("{text:?} is not a value of this field");
        out.push(Problem::invalid(at, "pattern", problem, format!("give {want}")));
    }
}

/// The length after the slash, if the text is an address of the family and a length for it.
fn network<A: std::str::FromStr>(text: &str) -> Option<u8> {
    let (address, length) = text.split_once('/')?;
    address.parse::<A>().ok()?;
    let bits = if address.contains(':') { 128 } else { 32 };
    length
        .parse::<u8>()
        .ok()
        .filter(|n| *n <= bits && !(length.len() > 1 && length.starts_with('0')))
}

fn string<'v>(value: &'v Value, at: &Path, out: &mut Vec<Problem>) -> Option<&'v str> {
    expect(value.is_string(), value, "a string", at, out);
    value.as_str()
}

fn expect(good: bool, value: &Value, want: &str, at: &Path, out: &mut Vec<Problem>) {
    if good {
        return;
    }
    let is = match value {
        Value::Null => "empty",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    out.push(Problem::invalid(at, "type", format!("is {is}"), format!("give {want}")));
}

/// The field whose name differs from `name` by case, or by one edit.
fn nearest(name: &str, fields: &[Field]) -> Option<&'static str> {
    let same_case = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    same_case.or_else(|| fields.iter().find(|f| within_one_edit(name, f.name))).map(|f| f.name)
}

/// Whether one insertion, removal, replacement or swap of neighbours makes `a` into `b`.
fn within_one_edit(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let head = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[head..], &b[head..]);
    let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[..a.len() - tail], &b[..b.len() - tail]);
    a.len() <= 1 && b.len() <= 1 || a.len() == 2 && b.len() == 2 && a[0] == b[1] && a[1] == b[0]
}
