use std::collections::HashMap;

use super::*;

const ASSET: &str = "1b377619-c357-409b-97c0-923b688819e2";
const TRACE: &str = "350df9a4-4703-11ec-bbe5-acde48001122";

fn headers() -> HashMap<&'static str, String> {
    HashMap::from([
        ("f5-digitalassetid", ASSET.to_owned()),
        ("user-agent", "SPK".to_owned()),
        ("f5-traceid", TRACE.to_owned()),
        ("authorization", "Bearer a.b.c".to_owned()),
        ("content-type", "application/json".to_owned()),
    ])
}

fn outcome(
    headers: &HashMap<&'static str, String>,
    body: &[u8],
) -> Result<UpstreamRequest, RequestError> {
    read(|name| headers.get(name).map(String::as_str), body)
}

const BODY: &[u8] = br#"{"report": "d.e.f"}"#;

#[test]
fn the_request_of_the_source_is_read() {
    let request = outcome(&headers(), BODY).unwrap();
    assert_eq!(request.asset.to_string(), ASSET);
    assert_eq!(request.trace.to_string(), TRACE);
    assert_eq!((request.license.as_str(), request.report.as_str()), ("a.b.c", "d.e.f"));
    let debug = format!("{request:?}");
    assert!(!debug.contains("a.b.c") && !debug.contains("d.e.f"), "{debug}");
}

#[test]
fn each_header_is_wanted_and_named_when_it_is_missing_or_wrong() {
    let cases: [(&str, &[&str], &str); 5] = [
        ("f5-digitalassetid", &["", "SPK", "1b377619c357409b97c0923b688819e2"], "header_wrong"),
        ("user-agent", &["", "curl/8", "spk", "SPK/1"], "header_wrong"),
        ("f5-traceid", &["", "1"], "header_wrong"),
        ("authorization", &["", "Bearer", "Bearer ", "Basic a.b.c", "a.b.c"], "token_required"),
        ("content-type", &["", "text/plain", "application/jsonp"], "media_type_wrong"),
    ];
    for (name, values, code) in cases {
        let mut headers = headers();
        headers.remove(name);
        let error = outcome(&headers, BODY).unwrap_err();
        assert_eq!(error.code(), code, "{name} missing");
        assert!(error.to_string().to_ascii_lowercase().contains(name), "{error}");
        for value in values {
            headers.insert(name, (*value).to_owned());
            assert_eq!(outcome(&headers, BODY).map_err(RequestError::code), Err(code), "{value}");
        }
    }
    let mut loose = headers();
    loose.insert("content-type", "Application/JSON; charset=utf-8".to_owned());
    loose.insert("authorization", "bearer  a.b.c ".to_owned());
    assert_eq!(outcome(&loose, BODY).unwrap().license, "a.b.c");
}

#[test]
fn a_body_is_one_object_with_a_report_and_not_too_large() {
    let bad: [&[u8]; 7] = [
        b"",
        b"[]",
        b"{}",
        br#"{"report":1}"#,
        br#"{"report":"a","report":"b"}"#,
        br#"{"report":"a"}{}"#,
        b"d.e.f",
    ];
    for body in bad {
        assert_eq!(outcome(&headers(), body), Err(RequestError::Body));
    }
    assert!(outcome(&headers(), br#"{"report":"a","note":[1]}"#).is_ok(), "others are ignored");
    let sized = |bytes: usize| format!(r#"{{"report":"{}"}}"#, "x".repeat(bytes - 13));
    assert_eq!(sized(BODY_LIMIT).len(), BODY_LIMIT);
    assert!(outcome(&headers(), sized(BODY_LIMIT).as_bytes()).is_ok());
    let above = sized(BODY_LIMIT + 1);
    assert_eq!(outcome(&headers(), above.as_bytes()), Err(RequestError::TooLarge));
}

#[test]
fn a_token_is_found_in_what_the_cluster_prints() {
    for text in
        ["a.b.c", " a.b.c\n", "\"a.b.c\"", r#"{"report":"a.b.c"}"#, "{ \"report\" : \"a.b.c\" }\n"]
    {
        assert_eq!(token_in(text, "report").as_deref(), Some("a.b.c"), "{text}");
    }
    for text in [r#"{"manifest":"a.b.c"}"#, "{", "\"a", r#"{"report":["a.b.c"]}"#] {
        assert_eq!(token_in(text, "report"), None, "{text}");
    }
}
