//! What `node.yaml` takes and refuses.

use super::*;

fn example_with(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "{from:?} is not in the example");
    EXAMPLE.replacen(from, to, 1)
}

#[test]
fn example_is_accepted_and_has_the_documented_defaults() {
    let settings = NodeSettings::parse(EXAMPLE).unwrap();
    assert_eq!(settings.probes.to_string(), "127.0.0.3:8081");
    assert_eq!(settings.metrics.to_string(), "127.0.0.3:9090");
    assert_eq!(settings.tmm, TmmSettings::default());
    let replica = &settings.replicas[0];
    assert_eq!(replica.listen().to_string(), "127.0.0.4:8750");
    assert_eq!((replica.memory, replica.hugepages, replica.flows), (512, true, 65_536));
    assert_eq!(replica.ports[1].name, "1.2");
}

#[test]
fn example_shows_every_default_as_it_is() {
    let mut uncommented = String::new();
    for line in EXAMPLE.lines() {
        let field = line.trim_start().strip_prefix("# ").filter(|text| {
            text.split_once(": ").is_some_and(|(name, value)| {
                name.chars().all(char::is_alphanumeric) && !value.contains(' ') && name != "binary"
            })
        });
        let indent = &line[..line.len() - line.trim_start().len()];
        uncommented += &field.map_or_else(|| line.to_owned(), |field| format!("{indent}{field}"));
        uncommented.push('\n');
    }
    assert!(uncommented.contains("\n    memory: 512"), "{uncommented}");
    let defaults = NodeSettings::parse(EXAMPLE).unwrap();
    let mut shown = NodeSettings::parse(&uncommented).unwrap();
    let replica = &mut shown.replicas[0];
    assert_eq!(replica.listen.take(), Some(defaults.replicas[0].listen()));
    assert_eq!(replica.probes.take(), Some(defaults.replicas[0].probes()));
    assert_eq!(replica.metrics.take(), Some(defaults.replicas[0].metrics()));
    assert_eq!(shown, defaults);
}

#[test]
fn unknown_field_is_refused_with_its_line() {
    let text = example_with("tmmNamespace: spk-core", "tmmNamespace: spk-core\ntmmNamepsace: x");
    let expected = text.lines().position(|line| line.starts_with("tmmNamepsace")).unwrap() + 1;
    let Err(SettingsError::Yaml { line, problem, .. }) = NodeSettings::parse(&text) else {
        panic!("accepted")
    };
    assert_eq!(usize::try_from(line).unwrap(), expected);
    assert!(problem.contains("tmmNamepsace"), "{problem}");
}

#[test]
fn every_problem_is_named_not_only_the_first() {
    let text = example_with("cores: [1]", "cores: []")
        .replace("kind: afXdp, device: int0", "kind: ring, device: int0")
        .replace("# metrics: 127.0.0.3:9090", "metrics: 0.0.0.0:9090");
    let Err(SettingsError::Fields(problems)) = NodeSettings::parse(&text) else {
        panic!("accepted")
    };
    let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["metrics", "replicas[0].cores", "replicas[0].ports[1].device"]);
}

#[test]
fn two_replicas_have_addresses_of_their_own_by_default() {
    let second = "  - index: 1\n    cores: [0]\n    ports: [{name: \"1.1\", kind: ring}]\n";
    let settings = NodeSettings::parse(&format!("{EXAMPLE}{second}")).unwrap();
    assert_eq!(settings.replicas[1].listen().to_string(), "127.0.0.5:8750");
    assert_eq!(settings.replicas[1].probes().to_string(), "127.0.0.5:8081");
    assert_eq!(settings.replicas[1].metrics().to_string(), "127.0.0.5:9090");
}

#[test]
fn index_and_address_used_twice_are_refused() {
    let second = "  - index: 0\n    cores: [0]\n    listen: 127.0.0.9:8750\n    ports: [{name: \"1.1\", kind: ring}]\n";
    let Err(SettingsError::Fields(problems)) = NodeSettings::parse(&format!("{EXAMPLE}{second}"))
    else {
        panic!("accepted")
    };
    let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["replicas[1].index", "replicas[1].probes", "replicas[1].metrics"]);
}
