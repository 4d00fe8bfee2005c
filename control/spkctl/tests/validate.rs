//! `spkctl validate` as an operator runs it: what it prints and how it exits.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

fn spkctl(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spkctl"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).arg("validate").args(args);
    command
}

fn run(args: &[&str]) -> Output {
    spkctl(args).output().expect("spkctl runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("spkctl prints UTF-8")
}

#[test]
fn each_object_is_named_with_its_field_problem_and_fix() {
    let output = run(&["-f", "tests/data/mixed.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn json_has_the_same_verdict() {
    let output = run(&["-f", "tests/data/mixed.yaml", "-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    insta::assert_json_snapshot!(report);
}

#[test]
fn a_directory_of_good_resources_exits_with_0() {
    let output = run(&["-f", "../../tests/data/samples"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let last = text(&output.stdout).lines().last().expect("a summary");
    assert_eq!(last, "9 accepted, 0 refused, 13 other documents");
}

#[test]
fn broken_yaml_refuses_its_file_and_no_other() {
    let output = run(&["-f", "tests/data/broken.yaml", "-f", "../../tests/data/samples"]);
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<_> = text(&output.stdout).lines().collect();
    assert_eq!(lines[0], "tests/data/broken.yaml:4: REFUSED");
    assert!(lines[1].starts_with("  line 4, InvalidValue: is no YAML: "), "{}", lines[1]);
    assert_eq!(lines.last(), Some(&"9 accepted, 1 refused, 13 other documents"));
}

#[test]
fn standard_input_is_read_and_namespaces_are_as_given() {
    let mut child = spkctl(&["-f", "-", "--tmm-namespace", "infra", "--watch", "a,b"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("spkctl starts");
    let vlan = "apiVersion: k8s.f5net.com/v1\nkind: F5SPKVlan\nspec: {interfaces: [\"1.1\"]}\n";
    let here = format!("{vlan}metadata: {{name: x, namespace: a}}\n---\n");
    let strange = format!("{vlan}metadata: {{name: x, namespace: c}}\n");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all((here + &strange).as_bytes()).expect("spkctl reads");
    drop(stdin);
    let output = child.wait_with_output().expect("spkctl ends");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stdout),
        "-:1: F5SPKVlan a/x REFUSED\n  line 4, WrongNamespace: metadata.namespace: F5SPKVlan \
         belongs in infra\n    fix: move it\n-:6: F5SPKVlan c/x ignored: namespace c is not \
         watched\n0 accepted, 1 refused, 1 other document\n"
    );
}

#[test]
fn what_cannot_be_carried_out_exits_with_2() {
    let output = run(&["-f", "tests/data/no-such-file.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    let error = text(&output.stderr);
    assert!(error.starts_with("spkctl: cannot read tests/data/no-such-file.yaml: "), "{error}");
    assert_eq!(run(&[]).status.code(), Some(2), "usage");
    assert_eq!(run(&["-f", "src/validate"]).status.code(), Some(2), "a directory without YAML");
}

#[test]
fn help_teaches_by_example() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output.stdout);
    for word in ["Examples:", "kubectl get f5spk -A -o yaml", "Exit code 0", "--tmm-namespace"] {
        assert!(help.contains(word), "{word} is missing in:\n{help}");
    }
}
