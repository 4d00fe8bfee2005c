use spk_jose::{RsaKeySet, RsaKeySize, RsaSigningKey};
use spk_license::token::LicenseToken;

use super::*;

const NOW: i64 = 1_800_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn order(order_type: OrderType, end: End) -> Order {
    Order { order_type, subtype: None, cat: "CAT".to_owned(), end }
}

fn ledger() -> Ledger {
    Ledger::new("F5 Inc.".to_owned(), "v1".to_owned())
}

#[test]
fn an_end_is_exact_to_the_second() {
    let seconds =
        |end: End| end.seconds(now()).unwrap().map(|end| i64::try_from(end).unwrap() - NOW);
    assert_eq!(seconds(End::Open), None);
    assert_eq!(seconds(End::Days(0)), Some(0));
    assert_eq!(seconds(End::Days(1)), Some(86_400));
    assert_eq!(seconds(End::Days(365)), Some(365 * 86_400));
    assert_eq!(seconds(End::After(SignedDuration::from_secs(90))), Some(90));
    assert_eq!(seconds(End::At(now())), Some(0));
    assert_eq!(seconds(End::At("2027-01-15T08:00:05Z".parse().unwrap())), Some(5));
    for end in [End::Days(u32::MAX), End::After(SignedDuration::MIN), End::At(Timestamp::MIN)] {
        assert_eq!(end.seconds(now()), Err(OrderError::End), "{end:?}");
    }
}

/// The rules of both sides meet: what we issue is what the cluster's V1 to V16 accept.
#[test]
fn an_issued_licence_passes_the_rules_of_the_cluster() {
    let signer = RsaSigningKey::generate("v1", RsaKeySize::Bits2048).unwrap();
    let keys = RsaKeySet::parse(&RsaSigningKey::key_set([&signer])).unwrap();
    let issuers = ["F5 Inc.".to_owned()];
    for order_type in OrderType::ALL {
        let mut ledger = ledger();
        let jti = Uuid::from_u128(3);
        let mut order = order(order_type, End::Days(1));
        order.subtype = Some("special".to_owned());
        let claims = license(&order, jti, now(), &mut ledger).unwrap();
        let text = signer.sign(claims.to_string().as_bytes()).unwrap();
        let at = u64::try_from(NOW).unwrap();
        let token = LicenseToken::verify(&text, &keys, &issuers, at).unwrap();
        assert_eq!(token.claims.order_type, order_type);
        assert_eq!(token.claims.order_subtype.as_deref(), Some("special"));
        assert_eq!((token.claims.sub.as_str(), token.claims.jti), ("CAT", jti));
        assert_eq!((token.claims.iat, token.claims.end()), (Some(at), Some(at + 86_400)));
        let issued = Issued { order_type, issued_at: at, ends: Some(at + 86_400) };
        assert_eq!(ledger.issued[&jti], issued);
    }
}

#[test]
fn a_licence_without_an_end_has_the_claims_of_the_source_and_no_more() {
    let claims =
        license(&order(OrderType::Paid, End::Open), Uuid::from_u128(3), now(), &mut ledger());
    let names: Vec<String> = claims.unwrap().as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["aud", "f5_order_type", "iat", "iss", "jti", "sub"]);
}

#[test]
fn a_refused_order_enters_nothing() {
    let mut ledger = ledger();
    for (cat, count) in [(String::new(), 0), ("x".repeat(2_049), 2_049)] {
        let order = Order { cat, ..order(OrderType::Eval, End::Open) };
        let error = license(&order, Uuid::from_u128(3), now(), &mut ledger).unwrap_err();
        assert_eq!(error, OrderError::Cat { count });
    }
    let order = order(OrderType::Eval, End::Days(u32::MAX));
    assert!(license(&order, Uuid::from_u128(3), now(), &mut ledger).is_err());
    assert!(ledger.issued.is_empty());
}
