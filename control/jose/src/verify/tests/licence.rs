//! Licences and receipts: RS512 by a set of RSA keys.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use serde_json::json;

use super::*;
use crate::RsaSigningKey;
use crate::base64url::{decode, encode};
use crate::rsa::tests::{namesake, signer};

const HEADER: &str = r#"{"alg":"RS512","typ":"JWT","kid":"v1"}"#;
const PAYLOAD: &[u8] = br#"{"sub":"CAT","iat":1670000000}"#;

fn keys() -> RsaKeySet {
    RsaKeySet::parse(&RsaSigningKey::key_set([signer()])).unwrap()
}

fn verdict(text: &str) -> Result<Verified, JoseError> {
    verify_rs512(text, &Limits::JWT, &keys())
}

fn with_header(header: &str) -> Result<Verified, JoseError> {
    verdict(&signer().sign_parts(header.as_bytes(), PAYLOAD).unwrap())
}

#[test]
fn a_licence_in_the_form_of_the_source_verifies() {
    // The example token of the source carries `jku`.
    let header = r#"{"alg":"RS512","typ":"JWT","kid":"v1","jku":"https://keys.invalid/jwks"}"#;
    let found = with_header(header).unwrap();
    assert_eq!(found.kid, "v1");
    assert_eq!(found.header["jku"], "https://keys.invalid/jwks");
    assert_eq!(Value::Object(found.payload.clone()), json!({"sub": "CAT", "iat": 1670000000}));
    assert!(!format!("{found:?}").contains("CAT"), "debug form shows no claim");
}

/// Both ways with a library that is not ours.
#[test]
fn an_independent_library_signs_what_we_verify_and_verifies_what_we_sign() {
    let pem = signer().to_pem().unwrap();
    let mut header = jsonwebtoken::Header::new(Algorithm::RS512);
    header.kid = Some("v1".to_owned());
    let claims = json!({"sub": "CAT", "aud": "urn:f5:teem"});
    let key = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    let theirs = jsonwebtoken::encode(&header, &claims, &key).unwrap();
    assert_eq!(Value::Object(verdict(&theirs).unwrap().payload), claims);

    let ours = signer().sign(claims.to_string().as_bytes()).unwrap();
    let set: JwkSet = serde_json::from_str(&RsaSigningKey::key_set([signer()])).unwrap();
    let key = DecodingKey::from_jwk(set.find("v1").unwrap()).unwrap();
    let mut rules = Validation::new(Algorithm::RS512);
    rules.set_audience(&["urn:f5:teem"]);
    rules.set_required_spec_claims(&["sub"]);
    rules.validate_exp = false;
    let found = jsonwebtoken::decode::<Value>(&ours, &key, &rules).unwrap();
    assert_eq!(found.claims, claims);
}

/// LIC-103.
#[test]
fn a_header_with_an_extension_or_a_foreign_typ_is_refused() {
    for name in ["crit", "b64", "zip", "enc"] {
        for value in ["[]", "true", "null", "\"DEF\""] {
            let header = HEADER.replace('}', &format!(r#","{name}":{value}}}"#));
            assert_eq!(with_header(&header), Err(JoseError::Extension), "{header}");
        }
    }
    for typ in ["JWT", "jwt", "Jwt", "jWt"] {
        assert!(with_header(&HEADER.replace("\"JWT\"", &format!("\"{typ}\""))).is_ok(), "{typ}");
    }
    assert!(with_header(r#"{"alg":"RS512","kid":"v1"}"#).is_ok(), "typ may be absent");
    for typ in ["\"JOSE\"", "\"JWS\"", "\"spk-lease+jwt\"", "\"\"", "null", "1", "[\"JWT\"]"] {
        let header = HEADER.replace("\"JWT\"", typ);
        assert_eq!(with_header(&header), Err(JoseError::Type), "{header}");
    }
    for error in [JoseError::Extension, JoseError::Type, JoseError::Form, JoseError::Payload] {
        assert_eq!(error.code(), "malformed");
    }
}

/// LIC-104: each other algorithm, and `none` in any case.
#[test]
fn an_algorithm_other_than_rs512_is_refused() {
    let mut algorithms: Vec<String> = [
        "HS256", "HS384", "HS512", "RS256", "RS384", "PS256", "PS384", "PS512", "ES256", "ES384",
        "ES512", "ES256K", "EdDSA", "Ed25519", "rs512", "RS512 ", " RS512", "RS5120", "",
    ]
    .map(str::to_owned)
    .to_vec();
    for case in 0..16_u32 {
        let none = "none".char_indices().map(|(place, c)| match case >> place & 1 {
            1 => c.to_ascii_uppercase(),
            _ => c,
        });
        algorithms.push(none.collect());
    }
    for alg in algorithms {
        let header = HEADER.replace("RS512", &alg);
        assert_eq!(with_header(&header), Err(JoseError::Algorithm), "{alg}");
    }
    for alg in ["null", "1", "[\"RS512\"]", "{\"RS512\":1}"] {
        let header = HEADER.replace("\"RS512\"", alg);
        assert_eq!(with_header(&header), Err(JoseError::Algorithm), "{alg}");
    }
    assert_eq!(with_header(r#"{"kid":"v1"}"#), Err(JoseError::Algorithm));
}

/// LIC-105: the token's side; which keys are usable is tested beside the key set.
#[test]
fn a_kid_that_names_no_usable_key_is_refused() {
    let long = "k".repeat(65);
    for kid in ["\"v2\"", "\"V1\"", "\"\"", "\"v1 \"", "\"../v1\"", "null", "1", "[\"v1\"]"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("\"{long}\"")])
    {
        let header = HEADER.replace("\"v1\"", &kid);
        assert_eq!(with_header(&header), Err(JoseError::UnknownKey), "{kid}");
    }
    assert_eq!(with_header(r#"{"alg":"RS512"}"#), Err(JoseError::UnknownKey), "missing");

    // A key of 65 characters is not taken even where the set is asked for just that.
    let named = |kid: &str| {
        let key = RsaSigningKey::from_pem("v1", &signer().to_pem().unwrap()).unwrap();
        let set = RsaSigningKey::key_set([&key]).replace("\"v1\"", &format!("\"{kid}\""));
        let text = signer().sign_parts(HEADER.replace("v1", kid).as_bytes(), PAYLOAD).unwrap();
        verify_rs512(&text, &Limits::JWT, &RsaKeySet::parse(&set).unwrap())
    };
    assert!(named(&long[1..]).is_ok(), "64 characters");
    assert_eq!(named(&long), Err(JoseError::UnknownKey));
}

/// LIC-105: a key for another use or algorithm is not usable.
#[test]
fn a_key_that_is_not_for_rs512_signatures_is_unknown() {
    let outcome = |change: &dyn Fn(&mut Value)| {
        let mut jwk = signer().public_jwk();
        change(&mut jwk);
        let set = RsaKeySet::parse(&json!({ "keys": [jwk] }).to_string()).unwrap();
        verify_rs512(&signer().sign(PAYLOAD).unwrap(), &Limits::JWT, &set).map(|_| ())
    };
    assert_eq!(outcome(&|_| ()), Ok(()));
    let good = [("key_ops", json!(["verify"])), ("key_ops", json!(["sign", "verify"]))];
    for (member, value) in good {
        assert_eq!(outcome(&|jwk| jwk[member] = value.clone()), Ok(()), "{member} {value}");
    }
    let bad = [
        ("use", json!("enc")),
        ("use", json!("SIG")),
        ("use", json!(null)),
        ("alg", json!("RS256")),
        ("alg", json!("PS512")),
        ("alg", json!(1)),
        ("key_ops", json!(["encrypt"])),
        ("key_ops", json!([])),
        ("key_ops", json!("verify")),
        ("kty", json!("EC")),
        ("kty", json!("rsa")),
    ];
    for (member, value) in bad {
        let found = outcome(&|jwk| jwk[member] = value.clone());
        assert_eq!(found, Err(JoseError::UnknownKey), "{member} {value}");
    }
}

/// The members that would name another key have no effect (V6); that no connection is made is
/// tested where connections are possible.
#[test]
fn keys_in_the_header_are_ignored() {
    let jwk = namesake().public_jwk().to_string();
    let header = HEADER.replace('}', &format!(r#","jwk":{jwk},"x5u":"https://k.invalid/x"}}"#));
    let forged = namesake().sign_parts(header.as_bytes(), PAYLOAD).unwrap();
    assert_eq!(verdict(&forged), Err(JoseError::Signature));
    assert!(with_header(&header).is_ok());
}

/// LIC-107.
#[test]
fn the_signature_covers_the_received_bytes_and_not_their_meaning() {
    let good = signer().sign(PAYLOAD).unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    assert!(verdict(&good).is_ok());
    for equal in [r#"{"iat":1670000000,"sub":"CAT"}"#, r#"{ "sub":"CAT","iat":1670000000}"#] {
        let text = format!("{}.{}.{}", parts[0], encode(equal.as_bytes()), parts[2]);
        assert_eq!(verdict(&text), Err(JoseError::Signature), "{equal}");
    }
    let header = encode(br#"{"typ":"JWT","alg":"RS512","kid":"v1"}"#);
    let text = format!("{header}.{}.{}", parts[1], parts[2]);
    assert_eq!(verdict(&text), Err(JoseError::Signature));
}

/// LIC-108: 1,000 single-bit flips in the decoded parts, and 1,000 in the text.
#[test]
fn another_key_or_one_flipped_bit_is_refused() {
    let forged = namesake().sign(PAYLOAD).unwrap();
    assert_eq!(verdict(&forged), Err(JoseError::Signature));

    let good = signer().sign(PAYLOAD).unwrap();
    let parts: Vec<Vec<u8>> = good.split('.').map(|part| decode(part).unwrap()).collect();
    let mut random = Lcg(7);
    for _ in 0..1_000 {
        let mut altered = parts.clone();
        let part = &mut altered[random.below(3)];
        let place = random.below(part.len());
        part[place] ^= 1 << random.below(8);
        let text = altered.iter().map(|part| encode(part)).collect::<Vec<_>>().join(".");
        assert!(verdict(&text).is_err(), "{text}");
    }
    for _ in 0..1_000 {
        let mut bytes = good.clone().into_bytes();
        let place = random.below(bytes.len());
        bytes[place] ^= 1 << random.below(7);
        let text = String::from_utf8(bytes).unwrap();
        assert!(verdict(&text).is_err(), "{text}");
    }
    assert!(verdict(&good).is_ok());
}

/// LIC-109: the public key as a secret, in each form it is known in. The answer is that of V4, so
/// no signature routine ran.
#[test]
fn a_public_key_is_never_a_secret() {
    let jwk = signer().public_jwk();
    let set = RsaSigningKey::key_set([signer()]);
    let pair = aws_lc_rs::signature::RsaKeyPair::from_pkcs8(&pkcs8()).unwrap();
    let spki = public_der(&pair);
    let body = STANDARD.encode(&spki);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
    let modulus = jwk["n"].as_str().unwrap().to_owned();
    let secrets: [Vec<u8>; 6] = [
        pem.into_bytes(),
        spki,
        jwk.to_string().into_bytes(),
        set.into_bytes(),
        decode(&modulus).unwrap(),
        modulus.into_bytes(),
    ];
    for (number, secret) in secrets.iter().enumerate() {
        let header = HEADER.replace("RS512", "HS512");
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(PAYLOAD));
        let key = hmac::Key::new(hmac::HMAC_SHA512, secret);
        let tag = hmac::sign(&key, signed.as_bytes());
        let text = format!("{signed}.{}", encode(tag.as_ref()));
        assert_eq!(verdict(&text), Err(JoseError::Algorithm), "secret {number}");
        // The same tag under the right name is no RSA signature.
        let signed = format!("{}.{}", encode(HEADER.as_bytes()), encode(PAYLOAD));
        let tag = hmac::sign(&key, signed.as_bytes());
        let text = format!("{signed}.{}", encode(tag.as_ref()));
        assert_eq!(verdict(&text), Err(JoseError::Signature), "secret {number}");
    }
}

fn pkcs8() -> Vec<u8> {
    let pem = signer().to_pem().unwrap();
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(body).unwrap()
}

fn public_der(pair: &aws_lc_rs::signature::RsaKeyPair) -> Vec<u8> {
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    use aws_lc_rs::signature::KeyPair as _;
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    der.as_ref().to_vec()
}

/// A seeded generator, enough to choose places (Knuth's MMIX constants).
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % bound as u64) as usize
    }
}
