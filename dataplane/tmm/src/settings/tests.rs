use std::collections::BTreeMap;

use super::*;

const GOOD: &str = r#"
clusterUid: 2f1b6c1e-6f0e-4b52-9d0a-6d6b8f6f3a10
listen: 127.0.0.4:8750
probes: 127.0.0.4:8081
metrics: 127.0.0.4:9090
memory: 512
hugepages: true
flows: 65536
ports:
  - {name: "1.1", kind: afXdp, device: ext0}
  - {"name":"1.3","kind":"ring"}
"#;

struct Directory(tempfile::TempDir);

impl Directory {
    fn new(yaml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("tmm.yaml"), yaml).unwrap();
        Self(directory)
    }

    fn file(self, name: &str, text: &str) -> Self {
        fs::create_dir_all(self.0.path().join("podinfo")).unwrap();
        fs::write(self.0.path().join("podinfo").join(name), text).unwrap();
        self
    }

    fn read(&self, variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let set: BTreeMap<&str, &str> = variables.iter().copied().collect();
        let names: Vec<String> = set.keys().map(|name| (*name).to_owned()).collect();
        let get = |name: &str| set.get(name).map(|value| (*value).to_owned());
        Settings::read(self.0.path(), &get, &names)
    }
}

const POD: [(&str, &str); 3] =
    [("POD_NAME", "f5-tmm-0"), ("POD_UID", "u"), ("POD_NAMESPACE", "spk")];

#[test]
fn the_environment_and_the_downward_api_name_the_pod() {
    let directory = Directory::new(GOOD)
        .file("name", "f5-tmm-1\n")
        .file("uid", "x")
        .file("namespace", "y")
        .file("annotations", "a=\"b\"\nk8s.f5net.com/replica-index=\"3\"\n");
    let settings = directory.read(&[]).unwrap();
    assert_eq!(settings.pod_name, "f5-tmm-1");
    assert_eq!(settings.identity, Identity { pod: "x".to_owned(), namespace: "y".to_owned() });
    assert_eq!(settings.replica, 3);
    assert_eq!(settings.file.drain_seconds, 10);
    assert_eq!(settings.file.ports[1].id(), Some(PortId(2)));

    let settings = directory.read(&POD).unwrap();
    assert_eq!(settings.identity.pod, "u");
}

#[test]
fn without_an_identity_the_process_does_not_start() {
    let error = Directory::new(GOOD).read(&POD[..1]).unwrap_err();
    assert_eq!(error.code(), "settings_identity");
    assert!(error.to_string().contains("POD_UID"), "{error}");
}

#[test]
fn a_defect_of_the_file_is_refused_with_its_place() {
    for (from, to, code, part) in [
        ("memory: 512", "memory: 31", "settings_value", "memory"),
        ("flows: 65536", "flows: 63", "settings_value", "flows"),
        ("flows: 65536", "flow: 65536", "settings_yaml", "flow"),
        ("\"1.1\"", "\"1.0\"", "settings_value", "ports[0].name"),
        ("\"1.1\"", "\"1.100\"", "settings_value", "ports[0].name"),
        ("\"1.1\"", "\"1.3\"", "settings_value", "ports[1].name"),
        (", device: ext0", "", "settings_value", "ports[0].device"),
        ("afXdp", "af_xdp", "settings_yaml", "af_xdp"),
    ] {
        let error = Directory::new(&GOOD.replace(from, to)).read(&POD).unwrap_err();
        assert_eq!(error.code(), code, "{to}: {error}");
        assert!(error.to_string().contains(part), "{to}: {error}");
    }
}

#[test]
fn a_variable_that_nothing_reads_is_listed_and_a_bad_one_is_refused() {
    let directory = Directory::new(GOOD);
    let mut variables = POD.to_vec();
    variables.extend([("TMM_LOG_LEVEL", "Debug"), ("TMM_NO_SUCH", "1"), ("OTHER", "1")]);
    let settings = directory.read(&variables).unwrap();
    assert_eq!(settings.unknown_variables, ["TMM_NO_SUCH"]);
    assert_eq!(settings.log_level, Severity::Debug);

    variables.push(("TMM_LOG_LEVEL", "Loud"));
    assert_eq!(directory.read(&variables).unwrap_err().code(), "settings_variable");
}
