//! What is made, kept and renewed.

use std::os::unix::fs::PermissionsExt as _;

use x509_parser::pem::parse_x509_pem;

use super::*;

struct Place {
    _dir: tempfile::TempDir,
    layout: Layout,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path());
    Place { _dir: dir, layout }
}

fn at(days: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs((20_000 + days) * DAY)
}

fn first_end(layout: &Layout) -> u64 {
    let ends = LEAVES.map(|name| {
        let pem = fs::read_to_string(leaf_paths(layout, name).0).unwrap();
        Facts::first(&pem).unwrap().end
    });
    ends.into_iter().min().unwrap()
}

fn contents(layout: &Layout) -> Vec<String> {
    ["certs/ca_root.crt", "certs/grpc-svc.crt", "certs/f5-ing-demo-f5ingress.crt", "keys/priv.key"]
        .iter()
        .map(|name| fs::read_to_string(layout.root().join(name)).unwrap())
        .collect()
}

#[test]
fn first_start_makes_three_certificates_and_private_keys() {
    let place = place();
    let made = ensure(&place.layout, at(0)).unwrap();
    assert_eq!(made, ["ca", "grpc-svc", "f5-ing-demo-f5ingress"]);
    for key in fs::read_dir(place.layout.keys()).unwrap() {
        let key = key.unwrap();
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{key:?}");
    }
    assert_eq!(fs::read_dir(place.layout.keys()).unwrap().count(), 3);
    let files = contents(&place.layout);
    let (_, pem) = parse_x509_pem(files[1].as_bytes()).unwrap();
    let cert = pem.parse_x509().unwrap();
    let names = format!("{:?}", cert.subject_alternative_name().unwrap().unwrap().value);
    for host in ["grpc-svc", "otel-collector", "f5-csrc-grpc-svc"] {
        assert!(names.contains(&format!("DNSName({host:?})")), "{names}");
    }
    let begin = u64::try_from(cert.validity().not_before.timestamp()).unwrap();
    assert_eq!(begin, (20_000 - 1) * DAY);
    let (_, pem) = parse_x509_pem(files[2].as_bytes()).unwrap();
    let cert = pem.parse_x509().unwrap();
    assert!(cert.extended_key_usage().unwrap().unwrap().value.client_auth);
}

#[test]
fn second_start_keeps_what_holds() {
    let place = place();
    ensure(&place.layout, at(0)).unwrap();
    let before = contents(&place.layout);
    assert_eq!(ensure(&place.layout, at(300)).unwrap(), Vec::<&str>::new());
    assert_eq!(contents(&place.layout), before);
}

#[test]
fn leaf_near_its_end_is_renewed_from_the_same_ca() {
    let place = place();
    ensure(&place.layout, at(0)).unwrap();
    let before = contents(&place.layout);
    let made = ensure(&place.layout, at(336)).unwrap();
    assert_eq!(made, ["grpc-svc", "f5-ing-demo-f5ingress"]);
    assert_eq!(contents(&place.layout)[0], before[0]);
    assert!(first_end(&place.layout) > (20_000 + 336 + 300) * DAY);
}

#[test]
fn key_that_does_not_fit_or_a_foreign_leaf_is_replaced() {
    let place = place();
    ensure(&place.layout, at(0)).unwrap();
    let foreign = self::place();
    ensure(&foreign.layout, at(0)).unwrap();
    let (cert, key) = leaf_paths(&place.layout, SERVER);
    let (foreign_cert, foreign_key) = leaf_paths(&foreign.layout, SERVER);
    fs::copy(&foreign_key, &key).unwrap();
    assert_eq!(ensure(&place.layout, at(0)).unwrap(), ["grpc-svc"]);
    fs::copy(&foreign_key, &key).unwrap();
    fs::copy(&foreign_cert, &cert).unwrap();
    assert_eq!(ensure(&place.layout, at(0)).unwrap(), ["grpc-svc"]);
}

#[test]
fn certificates_of_someone_elses_ca_are_used_as_they_are_without_its_key() {
    let place = place();
    ensure(&place.layout, at(0)).unwrap();
    fs::remove_file(place.layout.keys().join("priv.key")).unwrap();
    let files = || {
        ["certs/ca_root.crt", "certs/grpc-svc.crt", "certs/f5-ing-demo-f5ingress.crt"]
            .map(|name| fs::read_to_string(place.layout.root().join(name)).unwrap())
    };
    let before = files();
    // Also within the time in which own ones are renewed.
    for day in [0, 300, 350] {
        assert_eq!(ensure(&place.layout, at(day)).unwrap(), Vec::<&str>::new(), "{day}");
        assert_eq!(renew(&place.layout, at(day)).unwrap(), Vec::<&str>::new(), "{day}");
    }
    assert_eq!(files(), before);
}

#[test]
fn ca_is_never_replaced_while_processes_run() {
    let place = place();
    ensure(&place.layout, at(0)).unwrap();
    let ca = || fs::read_to_string(place.layout.certs().join("ca_root.crt")).unwrap();
    let before = ca();
    // Shortly before its end a leaf ends with it.
    let made = renew(&place.layout, at(3_600)).unwrap();
    assert_eq!(made, ["grpc-svc", "f5-ing-demo-f5ingress"]);
    assert_eq!(first_end(&place.layout), (20_000 + 3_650) * DAY);
    fs::remove_file(place.layout.keys().join("priv.key")).unwrap();
    let refused = renew(&place.layout, at(3_651)).unwrap_err();
    assert_eq!(refused.code(), "certificate_no_ca_key");
    assert_eq!(ca(), before);
    assert_eq!(ensure(&place.layout, at(3_651)).unwrap()[0], "ca");
    assert_ne!(ca(), before);
}
