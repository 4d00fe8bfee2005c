//! What `init` makes and leaves alone.

use std::os::unix::fs::PermissionsExt as _;

use spk_api::load::Content;

use super::*;

fn plan(root: &Path) -> SitePlan {
    SitePlan {
        dir: root.join("site"),
        state_dir: root.join("state"),
        jwt: None,
        jwks: None,
        upstream: None,
        upstream_ca: None,
        external: String::from("ext0"),
        internal: String::from("int0"),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found
}

/// OPS-179 (files and what is printed): private files are 0600.
#[test]
fn init_makes_settings_samples_certificates_and_keys_and_prints_three_commands() {
    let root = tempfile::tempdir().unwrap();
    let plan = plan(root.path());
    let text = init(&plan).unwrap();
    for command in ["spk-node init", "spk-node activate", "systemctl enable --now spk-node"] {
        assert!(text.contains(command), "{text}");
    }
    let settings = NodeSettings::load(&plan.dir.join("node.yaml")).unwrap();
    assert_eq!(settings.state_dir, plan.state_dir);
    for name in ["cwc-license-certs/server.key", "cwc-lease-key/private.jwk"] {
        assert!(plan.state_dir.join("cwc/config").join(name).exists(), "{name}");
    }
    let trust = fs::read(plan.state_dir.join("tmm-0/license/jwks.json")).unwrap();
    assert_eq!(
        trust,
        fs::read(plan.state_dir.join("cwc/config/cwc-lease-jwks/jwks.json")).unwrap()
    );
    for path in files(root.path()) {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let private = fs::read_to_string(&path)
            .is_ok_and(|text| text.contains("PRIVATE KEY") || text.contains("\"d\":"));
        assert!(!private || mode == 0o600, "{}: {mode:o}", path.display());
    }
}

#[test]
fn init_again_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let plan = plan(root.path());
    init(&plan).unwrap();
    let read = || -> Vec<(PathBuf, Vec<u8>)> {
        let mut all: Vec<_> = files(root.path());
        all.sort();
        all.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    };
    let before = read();
    init(&plan).unwrap();
    assert_eq!(read(), before);
}

#[test]
fn samples_are_accepted_as_they_are() {
    for (name, text) in SAMPLES {
        for document in spk_api::load(text, "default").unwrap() {
            match document.content {
                Content::Resource(manifest) => assert!(manifest.content.is_ok(), "{manifest:?}"),
                Content::Service(_) | Content::EndpointSlice(_) => {}
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}

#[test]
fn connected_site_has_its_authority_in_the_settings() {
    let root = tempfile::tempdir().unwrap();
    let ca = root.path().join("ca.pem");
    fs::write(&ca, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let upstream = Some(String::from("https://authority.example/x"));
    let plan = SitePlan { upstream, upstream_ca: Some(ca.clone()), ..plan(root.path()) };
    init(&plan).unwrap();
    let settings = NodeSettings::load(&plan.dir.join("node.yaml")).unwrap();
    let config = settings.cwc.unwrap().config;
    assert_eq!(config["mode"], "connected");
    assert_eq!(config["upstream_url"], "https://authority.example/x");
    assert_eq!(config["upstream_ca"], fs::read_to_string(ca).unwrap());
}

#[test]
fn activate_refuses_a_licence_of_another_authority_and_says_what_is_missing() {
    let root = tempfile::tempdir().unwrap();
    let plan = plan(root.path());
    init(&plan).unwrap();
    let missing = activate(&plan.dir, None, None).unwrap_err();
    assert!(missing.to_string().contains("--jwks"), "{missing}");
    let key = |kid| spk_jose::RsaSigningKey::generate(kid, spk_jose::RsaKeySize::Bits2048).unwrap();
    let (good, other) = (key("v1"), key("v1"));
    let put = |name: &str, text: &str| {
        let path = root.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let keys = put("keys", &spk_jose::RsaSigningKey::key_set([&good]));
    let foreign = put("foreign", &other.sign(b"{}").unwrap());
    let refused = activate(&plan.dir, Some(&foreign), Some(&keys)).unwrap_err();
    assert_eq!(refused.code(), "site_licence");
    assert!(!plan.dir.join(JWT).exists());
    let licence = put("licence", &good.sign(b"{}").unwrap());
    activate(&plan.dir, Some(&licence), Some(&keys)).unwrap();
    let mode = fs::metadata(plan.dir.join(JWT)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    activate(&plan.dir, None, None).unwrap();
}
