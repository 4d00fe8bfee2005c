//! Each limit at its value and one above.

use super::*;
use crate::RsaSigningKey;
use crate::ed25519::tests::key;
use crate::rsa::tests::signer;

type Check = fn(&str) -> Result<(), JoseError>;
type Sign = fn(&[u8], &[u8]) -> String;

/// A kind of token: its limits, the start of a header without its closing brace, how it is signed
/// and how it is checked.
struct Sort {
    limits: Limits,
    header: String,
    signature: usize,
    sign: Sign,
    check: Check,
}

const TYP: &str = "spk-lease+jwt";

fn rsa(limits: Limits, check: Check) -> Sort {
    Sort {
        limits,
        header: r#"{"alg":"RS512","kid":"v1""#.to_owned(),
        signature: 342,
        sign: |header, payload| signer().sign_parts(header, payload).unwrap(),
        check,
    }
}

fn sorts() -> [Sort; 4] {
    let kid = key(1).kid().to_owned();
    let x = crate::base64url::encode(key(1).public());
    [
        rsa(Limits::JWT, |text| verify_rs512(text, &Limits::JWT, &keys()).map(|_| ())),
        rsa(Limits::RECEIPT, |text| verify_rs512(text, &Limits::RECEIPT, &keys()).map(|_| ())),
        Sort {
            limits: Limits::REPORT,
            header: format!(
                r#"{{"alg":"EdDSA","kid":"{kid}","jwk":{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#
            ),
            signature: 86,
            sign: |header, payload| key(1).sign_parts(header, payload),
            check: |text| verify_embedded(text, &Limits::REPORT).map(|_| ()),
        },
        Sort {
            limits: Limits::STATEMENT,
            header: format!(r#"{{"alg":"EdDSA","typ":"{TYP}","kid":"{kid}""#),
            signature: 86,
            sign: |header, payload| key(1).sign_parts(header, payload),
            check: |text| verify_ed25519(text, TYP, &Limits::STATEMENT, &key(1).jwks()).map(|_| ()),
        },
    ]
}

fn keys() -> RsaKeySet {
    RsaKeySet::parse(&RsaSigningKey::key_set([signer()])).unwrap()
}

/// LIC-100: the table of licensing.md §2.
#[test]
fn the_limits_are_those_of_the_table() {
    let row = |limits: Limits| (limits.total, limits.header, limits.depth);
    assert_eq!(row(Limits::JWT), (8_192, 4_096, 8));
    assert_eq!(row(Limits::RECEIPT), (65_536, 4_096, 16));
    assert_eq!(row(Limits::REPORT), (131_072, 4_096, 16));
    assert_eq!(row(Limits::STATEMENT), (4_096, 1_024, 8));
}

/// LIC-100.
#[test]
fn a_token_is_taken_at_its_size_limit_and_refused_one_byte_above() {
    for sort in sorts() {
        // Base64 cannot have every length: the header is padded until both lengths are possible.
        let header = (0..4)
            .map(|pad| format!(r#"{},"p":"{}"}}"#, sort.header, "x".repeat(pad)))
            .find(|header| body_room(&sort, header) % 4 == 2)
            .unwrap();
        let bytes = body_room(&sort, &header) / 4 * 3 + 1;
        let with = |bytes: usize| {
            let payload = format!(r#"{{"p":"{}"}}"#, "x".repeat(bytes - 8));
            (sort.sign)(header.as_bytes(), payload.as_bytes())
        };
        let (full, above) = (with(bytes), with(bytes + 1));
        assert_eq!(full.len(), sort.limits.total);
        assert_eq!(above.len(), sort.limits.total + 1);
        assert_eq!((sort.check)(&full), Ok(()));
        assert_eq!((sort.check)(&format!("  {full}\n")), Ok(()), "trimmed before it is measured");
        assert_eq!((sort.check)(&above), Err(JoseError::TooLarge));
    }
    assert_eq!(JoseError::TooLarge.code(), "too_large");
}

/// Characters that are left for the payload in a token of full size.
fn body_room(sort: &Sort, header: &str) -> usize {
    sort.limits.total - (header.len() * 4).div_ceil(3) - sort.signature - 2
}

/// LIC-100.
#[test]
fn a_header_is_taken_at_its_size_limit_and_refused_one_byte_above() {
    for sort in sorts() {
        let with = |bytes: usize| {
            let start = format!(r#"{},"p":""#, sort.header);
            let header = format!(r#"{start}{}"}}"#, "x".repeat(bytes - start.len() - 2));
            assert_eq!(header.len(), bytes);
            (sort.check)(&(sort.sign)(header.as_bytes(), b"{}"))
        };
        assert_eq!(with(sort.limits.header), Ok(()));
        assert_eq!(with(sort.limits.header + 1), Err(JoseError::TooLarge));
    }
}

/// LIC-100: nesting, of arrays and objects, in payload and header.
#[test]
fn nesting_is_taken_at_its_limit_and_refused_one_level_above() {
    for sort in sorts() {
        let depth = sort.limits.depth;
        let nested = |levels: usize| {
            [
                format!(r#"{{"p":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1)),
                format!("{}1{}", r#"{"p":"#.repeat(levels), "}".repeat(levels)),
            ]
        };
        let header = format!("{}}}", sort.header);
        let payload = |text: &str| (sort.check)(&(sort.sign)(header.as_bytes(), text.as_bytes()));
        let in_header = |text: &str| {
            let members = text.strip_prefix('{').unwrap();
            let header = format!("{},{members}", sort.header);
            (sort.check)(&(sort.sign)(header.as_bytes(), b"{}"))
        };
        for text in nested(depth) {
            assert_eq!(payload(&text), Ok(()), "{text}");
            assert_eq!(in_header(&text), Ok(()), "{text}");
        }
        for text in nested(depth + 1) {
            assert_eq!(payload(&text), Err(JoseError::Payload), "{text}");
            assert_eq!(in_header(&text), Err(JoseError::Header), "{text}");
        }
    }
    // Far above: the reader does not follow it down.
    let deep = format!(r#"{{"p":{}1{}}}"#, "[".repeat(40_000), "]".repeat(40_000));
    let text = key(1).sign_embedded(deep.as_bytes());
    assert_eq!(verify_embedded(&text, &Limits::REPORT), Err(JoseError::Payload));
}
