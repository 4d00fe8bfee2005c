//! Which files are used and what is said, in a time that the test makes.

use std::path::PathBuf;

use cert_gen::pki::{Authority, KeyKind, Leaf, Pair, Period};

use super::*;

/// 2026-11-23, as seconds since 1970.
const START: u64 = 1_795_392_000;
const DAY: u64 = 86_400;

fn wall(days: u64) -> Timestamp {
    Timestamp::from_second(i64::try_from(START + days * DAY).unwrap()).unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn authority() -> Authority {
    Authority::make("ca", KeyKind::EcP256, Period { begin: 0, end: START + 3650 * DAY }).unwrap()
}

/// A server's pair that ends `days` after the start.
fn pair(authority: &Authority, days: u64) -> Pair {
    let leaf = Leaf {
        common_name: String::from("f5net"),
        names: vec![String::from("server")],
        server: true,
        ..Leaf::default()
    };
    let period = Period { begin: 0, end: START + days * DAY };
    authority.issue(&leaf, KeyKind::EcP256, period).unwrap()
}

fn files(authority: &Authority, pair: &Pair) -> PemSet {
    PemSet {
        ca: authority.pair().certificate.clone().into_bytes(),
        certificate: pair.certificate.clone().into_bytes(),
        key: pair.key.clone().into_bytes(),
        ca_file: PathBuf::from("/x/cwc-license-certs/ca_root.crt"),
        certificate_file: PathBuf::from("/x/cwc-license-certs/server.crt"),
        key_file: PathBuf::from("/x/cwc-license-certs/server.key"),
    }
}

fn missing() -> Refusal {
    Refusal::Missing {
        object: String::from("cwc-license-certs"),
        path: PathBuf::from("/x/cwc-license-certs/server.key"),
    }
}

fn machine() -> Reload {
    Reload::new("cwc-license-certs", Alpn::Http)
}

/// The certificate that comes into use, and the events.
fn split(outputs: Vec<Output>) -> (Option<Vec<u8>>, Vec<CertificateEvent>) {
    let mut used = None;
    let mut events = Vec::new();
    for output in outputs {
        match output {
            Output::Use(material) => used = Some(material.pem().certificate.clone()),
            Output::Report(event) => events.push(event),
            Output::Waiting(_) => panic!("nothing is waited for"),
        }
    }
    (used, events)
}

#[test]
fn first_good_set_is_used_without_an_event_and_the_next_one_with() {
    let ca = authority();
    let (first, second) = (pair(&ca, 300), pair(&ca, 301));
    let mut machine = machine();
    let (used, events) = split(machine.handle_input(Ok(files(&ca, &first)), wall(0), seconds(5)));
    assert_eq!((used, events), (Some(first.certificate.clone().into_bytes()), Vec::new()));
    let (used, events) = split(machine.handle_input(Ok(files(&ca, &first)), wall(0), seconds(6)));
    assert_eq!((used, events), (None, Vec::new()));
    let (used, events) = split(machine.handle_input(Ok(files(&ca, &second)), wall(0), seconds(7)));
    assert_eq!(used, Some(second.certificate.into_bytes()));
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].reason(), "CertificateReloaded");
    assert!(events[0].to_string().starts_with("Certificate server.crt of Secret"), "{}", events[0]);
}

/// OPS-322: each kind of broken set is refused as a whole, the old one stays, and one event names
/// Secret and reason; the next good set is used.
#[test]
fn broken_set_is_refused_as_a_whole_and_reported_once() {
    let ca = authority();
    let (good, other, ended) = (pair(&ca, 300), pair(&ca, 300), pair(&ca, 10));
    let gone = Authority::make("ca", KeyKind::EcP256, Period { begin: 0, end: START }).unwrap();
    let base = files(&ca, &other);
    let with = |change: fn(&mut PemSet)| {
        let mut set = base.clone();
        change(&mut set);
        set
    };
    let mut mixed = base.clone();
    mixed.key = good.key.clone().into_bytes();
    let table = [
        ("certificate_key_does_not_fit", Ok(mixed)),
        ("certificate_expired", Ok(files(&ca, &ended))),
        ("certificate_expired", Ok(files(&gone, &other))),
        ("certificate_not_pem", Ok(with(|set| set.certificate = b"text".to_vec()))),
        ("certificate_not_pem", Ok(with(|set| set.ca.clear()))),
        ("certificate_not_pem", Ok(with(|set| set.key.truncate(60)))),
        ("certificate_not_pem", Ok(with(|set| set.certificate.truncate(300)))),
        ("certificate_missing", Err(missing())),
        (
            "certificate_unreadable",
            Err(Refusal::Unreadable { path: PathBuf::from("/x"), cause: String::from("denied") }),
        ),
    ];
    for (code, broken) in table {
        let mut machine = machine();
        let _ = machine.handle_input(Ok(files(&ca, &good)), wall(0), seconds(5));
        let mut told = Vec::new();
        // Day 20 is after the end of `ended`, day 0 was before it.
        for second in 6..100 {
            let outputs = machine.handle_input(broken.clone(), wall(20), seconds(second));
            let (used, events) = split(outputs);
            assert_eq!(used, None, "{code}");
            told.extend(events);
        }
        let [CertificateEvent::Refused { object, refusal }] = told.as_slice() else {
            panic!("{code}: {told:?}");
        };
        assert_eq!((object.as_str(), refusal.code()), ("cwc-license-certs", code));
        assert_eq!(told[0].reason(), "CertificateRefused");
        let text = told[0].to_string();
        assert!(text.contains("Secret cwc-license-certs") && text.contains(&refusal.to_string()));
        assert!(!text.contains("PRIVATE KEY"), "{text}");
        let outputs = machine.handle_input(Ok(base.clone()), wall(20), seconds(100));
        assert_eq!(split(outputs).0, Some(base.certificate.clone()), "{code}");
    }
}

#[test]
fn look_between_two_writes_is_no_fault() {
    let ca = authority();
    let (old, new) = (pair(&ca, 300), pair(&ca, 300));
    let mut machine = machine();
    let _ = machine.handle_input(Ok(files(&ca, &old)), wall(0), seconds(5));
    let mut half = files(&ca, &old);
    half.key = new.key.clone().into_bytes();
    let (used, events) = split(machine.handle_input(Ok(half), wall(0), seconds(6)));
    assert_eq!((used, events), (None, Vec::new()));
    let (used, events) = split(machine.handle_input(Ok(files(&ca, &new)), wall(0), seconds(7)));
    assert_eq!(used, Some(new.certificate.into_bytes()));
    assert_eq!(events.len(), 1);
}

#[test]
fn two_faults_in_turn_are_both_reported() {
    let ca = authority();
    let good = pair(&ca, 300);
    let mut machine = machine();
    let _ = machine.handle_input(Ok(files(&ca, &good)), wall(0), seconds(5));
    let mut broken = files(&ca, &good);
    broken.certificate = b"text".to_vec();
    let mut reasons = Vec::new();
    for second in 6..20 {
        let input = if second < 12 { Ok(broken.clone()) } else { Err(missing()) };
        let (_, events) = split(machine.handle_input(input, wall(0), seconds(second)));
        reasons.extend(events.into_iter().map(|event| match event {
            CertificateEvent::Refused { refusal, .. } => refusal.code(),
            other => panic!("{other}"),
        }));
    }
    assert_eq!(reasons, ["certificate_not_pem", "certificate_missing"]);
}

/// LIC-304 (the log's part), OPS-160: what is missing at the start is waited for, with one line a
/// minute and no event.
#[test]
fn missing_files_are_spoken_of_once_a_minute_until_they_come() {
    let mut machine = machine();
    let mut said = Vec::new();
    for second in 100..300 {
        for output in machine.handle_input(Err(missing()), wall(0), seconds(second)) {
            let Output::Waiting(refusal) = output else { panic!("{output:?}") };
            assert!(refusal.to_string().starts_with("Secret cwc-license-certs is missing"));
            said.push(second);
        }
    }
    assert_eq!(said, [100, 160, 220, 280]);
    let ca = authority();
    let set = files(&ca, &pair(&ca, 300));
    let (used, events) = split(machine.handle_input(Ok(set), wall(0), seconds(300)));
    assert!(used.is_some() && events.is_empty());
}

/// OPS-323 (the events): at 31, 30, 8 and 7 days before the end, each once.
#[test]
fn end_of_a_certificate_is_spoken_of_30_and_7_days_before() {
    let ca = authority();
    let set = files(&ca, &pair(&ca, 365));
    let mut machine = machine();
    let mut told = Vec::new();
    for (looks, left) in [31, 30, 30, 29, 8, 7, 7, 1].into_iter().enumerate() {
        let boot = seconds(5 + u64::try_from(looks).unwrap());
        let (_, events) = split(machine.handle_input(Ok(set.clone()), wall(365 - left), boot));
        told.extend(events.into_iter().map(|event| match event {
            CertificateEvent::Expiring { certificate, days } => {
                assert_eq!(certificate.file, "server.crt");
                (left, days)
            }
            other => panic!("{other}"),
        }));
    }
    assert_eq!(told, [(30, 30), (7, 7)]);
    // A renewed certificate is spoken of again at its own time.
    let renewed = files(&ca, &pair(&ca, 400));
    let (_, events) = split(machine.handle_input(Ok(renewed.clone()), wall(365), seconds(20)));
    assert_eq!(events.len(), 1, "{events:?}");
    let (_, events) = split(machine.handle_input(Ok(renewed), wall(371), seconds(21)));
    assert!(matches!(events.as_slice(), [CertificateEvent::Expiring { days: 30, .. }]));
}

#[test]
fn certificate_found_5_days_before_its_end_is_spoken_of_once() {
    let ca = authority();
    let set = files(&ca, &pair(&ca, 5));
    let mut machine = machine();
    let (_, events) = split(machine.handle_input(Ok(set.clone()), wall(0), seconds(5)));
    assert!(
        matches!(events.as_slice(), [CertificateEvent::Expiring { days: 7, .. }]),
        "{events:?}"
    );
    let (_, events) = split(machine.handle_input(Ok(set), wall(1), seconds(6)));
    assert!(events.is_empty(), "{events:?}");
}
