//! Strict base64url and JSON, for each kind of token.

use super::*;
use crate::RsaSigningKey;
use crate::base64url::encode;
use crate::ed25519::tests::key;
use crate::rsa::tests::signer;

/// Signs header and payload as each kind of token and gives the three answers.
fn outcomes(payload: &[u8]) -> [Result<(), JoseError>; 3] {
    [licence(&signer().sign(payload).unwrap()), report(&key(1).sign_embedded(payload)), {
        let text = key(1).sign_typed(TYP, payload);
        verify_ed25519(&text, TYP, &Limits::STATEMENT, &key(1).jwks()).map(|_| ())
    }]
}

type Check = fn(&str) -> Result<(), JoseError>;

const TYP: &str = "spk-lease+jwt";

fn licence(text: &str) -> Result<(), JoseError> {
    let keys = RsaKeySet::parse(&RsaSigningKey::key_set([signer()])).unwrap();
    verify_rs512(text, &Limits::JWT, &keys).map(|_| ())
}

fn report(text: &str) -> Result<(), JoseError> {
    verify_embedded(text, &Limits::REPORT).map(|_| ())
}

/// LIC-102: what the signature covers is still refused if it is not one strict object.
#[test]
fn a_payload_that_is_not_one_strict_object_is_refused() {
    assert_eq!(outcomes(br#"{"a":{"b":[1,2.5,-3,"x",null,true]}}"#), [Ok(()); 3]);
    let bad: [&[u8]; 16] = [
        br#"{"a":1,"a":2}"#,
        br#"{"x":{"a":1,"\u0061":2}}"#,
        br#"{"x":[{"a":1,"a":1}]}"#,
        b"{}{}",
        b"{} {}",
        b"{},",
        b"[]",
        b"\"text\"",
        b"1",
        b"null",
        b"{",
        b"{'a':1}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"\xef\xbb\xbf{}",
        b"{\"a\":NaN}",
    ];
    for payload in bad {
        let text = String::from_utf8_lossy(payload).into_owned();
        assert_eq!(outcomes(payload), [Err(JoseError::Payload); 3], "{text}");
    }
}

/// LIC-102: the same for the header; nothing but its form is looked at then.
#[test]
fn a_header_that_is_not_one_strict_object_is_refused() {
    let bad: [&[u8]; 6] = [
        br#"{"alg":"RS512","alg":"RS512","kid":"v1"}"#,
        br#"{"alg":"RS512","kid":"v1","\u006bid":"v1"}"#,
        br#"[{"alg":"RS512","kid":"v1"}]"#,
        br#"{"alg":"RS512","kid":"v1"} {}"#,
        b"{\"alg\":\"RS512\",\"kid\":\"v\xff\"}",
        b"RS512",
    ];
    for header in bad {
        let text = signer().sign_parts(header, b"{}").unwrap();
        assert_eq!(licence(&text), Err(JoseError::Header));
        let text = key(1).sign_parts(header, b"{}");
        assert_eq!(report(&text), Err(JoseError::Header));
    }
}

/// LIC-102: 0, 1, 2, 4 and 5 parts, empty ones, padding, white space, other alphabets, stray bits.
#[test]
fn parts_that_are_not_three_of_strict_base64url_are_refused() {
    let texts = [signer().sign(b"{}").unwrap(), key(1).sign_embedded(b"{}")];
    let checks: [Check; 2] = [licence, report];
    for (good, check) in texts.iter().zip(checks) {
        assert_eq!(check(good), Ok(()));
        assert_eq!(check(&format!("\t\n {good}\r\n ")), Ok(()), "white space around is trimmed");
        let parts: Vec<&str> = good.split('.').collect();
        let (head, body, signature) = (parts[0], parts[1], parts[2]);
        let padded = encode(b"{ }");
        let mut bad = vec![
            String::new(),
            " ".to_owned(),
            ".".to_owned(),
            "..".to_owned(),
            head.to_owned(),
            format!("{head}.{body}"),
            format!("{head}.{body}."),
            format!(".{body}.{signature}"),
            format!("{head}..{signature}"),
            format!("{head}.{body}.{signature}."),
            format!("{head}.{body}.{signature}.{signature}"),
            format!("{head}.{body}.{signature}.{signature}.{signature}"),
            format!("{head}.{body}==.{signature}"),
            format!("{head}.{body}.{signature}="),
            format!("{head} .{body}.{signature}"),
            format!("{head}.\n{body}.{signature}"),
            format!("{head}.{body}.{}\u{a0}", signature),
            format!("{head}.{padded}+.{signature}"),
            format!("{head}.{padded}/.{signature}"),
            // One character alone carries no whole byte.
            format!("{head}.{body}.{signature}A").replace(signature, "AAAA"),
        ];
        // "e30" is "{}", with two unused bits: three other spellings of the same bytes.
        assert_eq!(body, "e30");
        bad.extend(["e31", "e32", "e33"].map(|body| format!("{head}.{body}.{signature}")));
        for text in bad {
            assert_eq!(check(&text), Err(JoseError::Form), "{text:?}");
        }
    }
}
