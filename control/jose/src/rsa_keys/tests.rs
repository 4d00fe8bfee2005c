use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::*;
use crate::rsa::tests::{namesake, signer};
use crate::{Limits, RsaSigningKey, verify_rs512};

/// A set of these keys.
fn set(keys: &[Value]) -> Result<RsaKeySet, RsaKeySetError> {
    RsaKeySet::parse(&json!({ "keys": keys }).to_string())
}

/// A usable key called `kid`, changed.
fn jwk(kid: &str, change: impl Fn(&mut Map<String, Value>)) -> Value {
    let mut jwk = signer().public_jwk();
    jwk["kid"] = json!(kid);
    jwk.as_object_mut().map(change);
    jwk
}

fn good(kid: &str) -> Value {
    jwk(kid, |_| ())
}

/// Whether a licence signed by the key called `kid` verifies by `keys`.
fn verifies(keys: &RsaKeySet, kid: &str) -> bool {
    let header = json!({ "alg": "RS512", "typ": "JWT", "kid": kid }).to_string();
    let text = signer().sign_parts(header.as_bytes(), b"{}").unwrap();
    verify_rs512(&text, &Limits::JWT, keys).is_ok()
}

/// Parses one key beside a good one, and gives the refusal of the first.
fn fault(bad: Value) -> Option<KeyFault> {
    let keys = set(&[bad, good("good")]).unwrap();
    assert!(verifies(&keys, "good"), "the other key stays usable");
    assert!(keys.refused().len() <= 1);
    keys.refused().first().map(|refusal| refusal.fault)
}

/// LIC-121: the seed's shape has neither `e` nor `use`; members may stand in any order and unknown
/// ones are ignored.
#[test]
fn a_set_of_the_sources_shape_is_taken() {
    let n = signer().public_jwk()["n"].clone();
    let text = format!(
        r#"
        {{ "keys": [ {{ "kid": "v1", "alg": "RS512", "kty": "RSA", "n": {n} }} ] }}
        "#
    );
    let keys = RsaKeySet::parse(&text).unwrap();
    assert_eq!(keys.kids().collect::<Vec<_>>(), ["v1"]);
    assert!(verifies(&keys, "v1"));
    let text = format!(
        r#"{{"version":2,"keys":[{{"n":{n},"x-note":[1],"kty":"RSA","e":"AQAB","kid":"v1"}}]}}"#
    );
    assert_eq!(RsaKeySet::parse(&text).unwrap(), keys);
    assert!(verifies(&keys, "v1"));
}

/// LIC-122: the placeholder refuses its own key only, in words that name key and member.
#[test]
fn a_modulus_that_is_no_base64url_refuses_that_key_and_says_so() {
    let keys = set(&[jwk("v1", |key| key["n"] = json!("<F5 public key>")), good("v2")]).unwrap();
    assert!(verifies(&keys, "v2") && !verifies(&keys, "v1"));
    let [refusal] = keys.refused() else { panic!("{:?}", keys.refused()) };
    assert_eq!(refusal.code(), "jwks_malformed");
    assert_eq!(refusal.to_string(), "key v1 (number 0), member n: illegal base64 data");
    // The source's own text ends in dots.
    for n in [json!("wgqDv-fuebdh..."), json!(""), json!("AA=="), json!("A"), json!(7), json!(null)]
    {
        let found = fault(jwk("v1", |key| key["n"] = n.clone()));
        assert_eq!(found, Some(KeyFault::ModulusText), "{n}");
    }
    let without = jwk("v1", |key| {
        key.remove("n");
    });
    assert_eq!(fault(without), Some(KeyFault::ModulusText));
}

/// LIC-123: also if the namesake is no RSA key, for then the name says nothing.
#[test]
fn two_keys_of_one_kid_are_both_refused() {
    let mut other = namesake().public_jwk();
    other["kid"] = json!("v1");
    let keys = set(&[good("v1"), good("v2"), other]).unwrap();
    assert!(verifies(&keys, "v2") && !verifies(&keys, "v1"));
    let refused: Vec<_> = keys.refused().iter().map(|r| (r.index, r.fault)).collect();
    assert_eq!(refused, [(0, KeyFault::Duplicate), (2, KeyFault::Duplicate)]);
    let text = keys.refused()[0].to_string();
    assert_eq!(text, "key v1 (number 0), member kid: names more than one key");

    let elliptic = json!({"kty": "EC", "crv": "P-256", "kid": "v1", "x": "AA", "y": "AA"});
    let keys = set(&[elliptic, good("v1")]).unwrap();
    assert!(keys.is_empty());
    assert_eq!(keys.refused().len(), 1);
}

/// LIC-124: one private or symmetric key refuses the whole set.
#[test]
fn private_or_symmetric_material_refuses_the_whole_set() {
    for member in ["d", "p", "q", "dp", "dq", "qi"] {
        let bad = jwk("v2", |key| {
            key.insert(member.to_owned(), json!("AQAB"));
        });
        let error = set(&[good("v1"), bad]).unwrap_err();
        assert_eq!(error, RsaKeySetError::Private { index: 1, member });
        assert_eq!(error.code(), "jwks_private");
    }
    let secret = json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0"});
    let error = set(&[good("v1"), secret]).unwrap_err();
    assert_eq!(error, RsaKeySetError::Private { index: 1, member: "kty" });
    assert!(!error.to_string().contains("c2VjcmV0"));
    // A private key of another type in the same file is as private.
    let okp = json!({"kty": "OKP", "crv": "Ed25519", "kid": "o", "x": "AA", "d": "AA"});
    assert_eq!(set(&[okp, good("v1")]).unwrap_err().code(), "jwks_private");
}

/// LIC-125: `x5c` is compared with `n` and `e`, and trusts nothing by itself.
#[test]
fn a_certificate_of_another_key_refuses_the_key_and_trusts_nothing() {
    let with = |chain: Value| {
        move |key: &mut Map<String, Value>| {
            key.insert("x5c".to_owned(), chain.clone());
        }
    };
    let (own, foreign) = (certificate(signer()), certificate(namesake()));
    assert_eq!(fault(jwk("v1", with(json!([own])))), None);
    assert_eq!(fault(jwk("v1", with(json!([own, foreign])))), None, "the first one counts");
    let other = fault(jwk("v1", with(json!([foreign, own]))));
    assert_eq!(other, Some(KeyFault::CertificateKey));
    for chain in [json!([]), json!("x"), json!([1]), json!(["AAAA"]), json!(["!"]), json!(null)] {
        let found = fault(jwk("v1", with(chain.clone())));
        assert_eq!(found, Some(KeyFault::Certificate), "{chain}");
    }
    // Two bytes behind the certificate: not a certificate.
    let longer = STANDARD.encode([STANDARD.decode(&own).unwrap(), vec![5, 0]].concat());
    assert_eq!(fault(jwk("v1", with(json!([longer])))), Some(KeyFault::Certificate));
    // Alone it is no key.
    let alone = jwk("v1", |key| {
        key.remove("n");
        key.insert("x5c".to_owned(), json!([own]));
    });
    let keys = set(&[alone]).unwrap();
    assert!(keys.is_empty() && !verifies(&keys, "v1"));
}

/// LIC-100: modulus of 2,048 to 8,192 bits.
#[test]
fn a_modulus_is_taken_within_its_range_and_refused_beyond() {
    let of = |bits: usize| {
        // 2^(bits-1) + 1: odd, and of just as many bits.
        let mut bytes = vec![0_u8; bits.div_ceil(8)];
        bytes[0] |= 1 << ((bits - 1) % 8);
        *bytes.last_mut().unwrap() |= 1;
        fault(jwk("v1", |key| key["n"] = json!(base64url::encode(&bytes))))
    };
    assert_eq!(of(2_047), Some(KeyFault::ModulusSize { bits: 2_047 }));
    assert_eq!(of(2_048), None);
    assert_eq!(of(8_192), None);
    assert_eq!(of(8_193), Some(KeyFault::ModulusSize { bits: 8_193 }));
    let even = jwk("v1", |key| key["n"] = json!(base64url::encode(&[0x80; 256])));
    assert_eq!(fault(even), Some(KeyFault::ModulusEven));
    // Zeros in front do not make a key larger.
    let padded = jwk("v1", |key| {
        let n = base64url::decode(key["n"].as_str().unwrap()).unwrap();
        key["n"] = json!(base64url::encode(&[vec![0; 900], n].concat()));
    });
    let keys = set(&[padded]).unwrap();
    assert!(verifies(&keys, "v1"));
}

/// LIC-100: exponent odd and 65,537 to 2³²−1.
#[test]
fn an_exponent_is_taken_within_its_range_and_refused_beyond() {
    let of = |number: u64| {
        let bytes = number.to_be_bytes();
        fault(jwk("v1", |key| key["e"] = json!(base64url::encode(without_zeros(&bytes)))))
    };
    for good in [65_537, 65_539, (1 << 32) - 1] {
        assert_eq!(of(good), None, "{good}");
    }
    for bad in [0, 1, 3, 65_535, 65_538, (1 << 32) + 1, (1 << 32) - 2] {
        assert_eq!(of(bad), Some(KeyFault::Exponent), "{bad}");
    }
    for text in [json!("AQAB="), json!(65_537), json!(null)] {
        let found = fault(jwk("v1", |key| key["e"] = text.clone()));
        assert_eq!(found, Some(KeyFault::ExponentText), "{text}");
    }
}

/// LIC-100: 1 to 16 keys, 65,536 bytes, 8 levels.
#[test]
fn a_set_is_taken_at_its_limits_and_refused_beyond() {
    let many = |count: usize| -> Vec<Value> {
        (0..count).map(|number| json!({"kty": "EC", "kid": format!("k{number}")})).collect()
    };
    assert_eq!(set(&many(0)).unwrap_err(), RsaKeySetError::Count { count: 0 });
    assert!(set(&many(1)).is_ok() && set(&many(16)).is_ok());
    assert_eq!(set(&many(17)).unwrap_err(), RsaKeySetError::Count { count: 17 });

    let text = json!({ "keys": [good("v1")] }).to_string();
    let sized = |bytes: usize| {
        let pad = bytes - text.len() - r#""p":"","#.len();
        text.replacen('{', &format!(r#"{{"p":"{}","#, "x".repeat(pad)), 1)
    };
    assert_eq!(sized(65_536).len(), 65_536);
    let keys = RsaKeySet::parse(&format!(" {}\n", sized(65_536))).unwrap();
    assert!(verifies(&keys, "v1"));
    assert_eq!(RsaKeySet::parse(&sized(65_537)).unwrap_err(), RsaKeySetError::TooLarge);

    let nested = |levels: usize| {
        let inner = format!("{}{}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        RsaKeySet::parse(&text.replacen('{', &format!(r#"{{"p":{inner},"#), 1))
    };
    assert!(nested(8).is_ok());
    assert_eq!(nested(9).unwrap_err(), RsaKeySetError::Malformed);
}

#[test]
fn a_text_that_is_no_key_set_is_malformed() {
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[1]}"#, r#"{"keys":[],"keys":[]}"#] {
        let error = RsaKeySet::parse(text).unwrap_err();
        assert_eq!(error.code(), "jwks_malformed", "{text}");
    }
}

#[test]
fn a_key_without_a_name_of_1_to_64_characters_is_refused() {
    for kid in [json!(null), json!(1), json!(""), json!("k".repeat(65))] {
        let found = fault(jwk("v1", |key| key["kid"] = kid.clone()));
        assert_eq!(found, Some(KeyFault::KeyId), "{kid}");
    }
    let nameless = jwk("v1", |key| {
        key.remove("kid");
    });
    let keys = set(&[nameless]).unwrap();
    let text = keys.refused()[0].to_string();
    assert_eq!(text, "key without kid (number 0), member kid: not a text of 1 to 64 characters");
}

/// Keys for other purposes are not faults: many sets hold them.
#[test]
fn a_key_for_another_purpose_is_left_out_silently() {
    let keys = set(&[
        good("v1"),
        jwk("e", |key| key["use"] = json!("enc")),
        json!({"kty": "EC", "kid": "c"}),
    ])
    .unwrap();
    assert_eq!((keys.len(), keys.refused().len()), (1, 0));
}

/// A self-signed certificate of this key, in the base64 of `x5c`.
fn certificate(key: &RsaSigningKey) -> String {
    let pem = key.to_pem().unwrap();
    let pair = rcgen::KeyPair::from_pkcs8_pem_and_sign_algo(&pem, &rcgen::PKCS_RSA_SHA256).unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["authority.invalid".to_owned()]).unwrap();
    STANDARD.encode(parameters.self_signed(&pair).unwrap().der())
}
