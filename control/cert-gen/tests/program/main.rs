//! The program as people call it: arguments, exit codes, output, files and manifests.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

mod chains;
mod changes;

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Calls the program in `dir`; elliptic keys, where the kind of key is not the point, are quicker.
fn call(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cert-gen")).current_dir(dir).args(arguments).output().unwrap()
}

fn done(dir: &Path, arguments: &[&str]) -> String {
    let output = call(dir, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{:?}: {error}", path.as_ref()))
}

/// The members of a manifest that are not data, and the data, decoded.
fn manifest(dir: &Path, name: &str) -> (String, BTreeMap<String, String>) {
    let text = text(dir.join(format!("{name}.yaml")));
    let (head, data) = text.split_once("\ndata:\n").unwrap();
    let data = data.lines().map(|line| {
        let (key, value) = line.trim().split_once(": ").unwrap();
        (key.to_owned(), String::from_utf8(STANDARD.decode(value).unwrap()).unwrap())
    });
    (format!("{head}\n"), data.collect())
}

fn keys(dir: &Path, name: &str) -> Vec<String> {
    manifest(dir, name).1.into_keys().collect()
}

/// Every file under `dir` with its mode.
fn files(dir: &Path) -> BTreeMap<PathBuf, u32> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_symlink() {
                continue;
            }
            found.insert(path.clone(), metadata.permissions().mode() & 0o777);
            if metadata.is_dir() {
                open.push(path);
            }
        }
    }
    found
}

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn verify(ca: &Path, certificate: &Path, purpose: &str) {
    let (ca, certificate) = (ca.to_str().unwrap(), certificate.to_str().unwrap());
    let said =
        openssl(&["verify", "-x509_strict", "-CAfile", ca, "-purpose", purpose, certificate]);
    assert_eq!(said, format!("{certificate}: OK\n"));
}

/// OPS-301: both documented calls run by the name of the script, with nothing on the PATH but a
/// shell and `dirname`.
#[test]
fn documented_calls_run_through_the_script() {
    let dir = directory();
    let bin = dir.path().join("bin");
    let tool = dir.path().join("cert-gen");
    fs::create_dir(&bin).unwrap();
    fs::create_dir(&tool).unwrap();
    symlink("/bin/sh", bin.join("sh")).unwrap();
    symlink("/usr/bin/dirname", bin.join("dirname")).unwrap();
    symlink(env!("CARGO_BIN_EXE_cert-gen"), tool.join("cert-gen")).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("gen_cert.sh");
    assert_eq!(text(&script).lines().count(), 2);
    fs::copy(script, tool.join("gen_cert.sh")).unwrap();
    for (service, name) in [
        ("api-server", "f5-spk-cwc.default"),
        ("rabbit", "rabbitmq-server.default.svc.cluster.local"),
    ] {
        let output = Command::new(bin.join("sh"))
            .current_dir(dir.path())
            .env_clear()
            .env("PATH", &bin)
            .args(["cert-gen/gen_cert.sh", &format!("-s={service}"), &format!("-a={name}"), "-n=2"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for name in [
        "cwc-license-certs",
        "rabbitmq-client-certs",
        "rabbitmq-client-1-certs",
        "rabbitmq-client-2-certs",
        "rabbitmq-server-certs",
    ] {
        assert!(dir.path().join(format!("{name}.yaml")).is_file(), "{name}");
    }
}

/// OPS-302: both forms of an argument; 0 done, 1 failed, 2 wrong call.
#[test]
fn both_forms_of_arguments_pass_and_exit_codes_tell_failure_from_misuse() {
    let dir = directory();
    let code = |arguments: &[&str]| call(dir.path(), arguments).status.code();
    let key = "--key=ec:p256";
    assert_eq!(
        code(&["-s", "api-server", "-a", "a.b", "-n", "1", "-o", "x", "--key", "ec:p256"]),
        Some(0)
    );
    assert_eq!(code(&["-s=api-server", "-a=a.b,10.0.0.1", "-n=1", "-o=y", key]), Some(0));
    for wrong in [
        &["-s=unknown"] as &[&str],
        &[],
        &["-s=api-server"],
        &["-s=rabbit", "-n=1"],
        &["-s=api-server", "-a=two words"],
        &["-s=api-server", "-a=a.b", "-n=many"],
        &["-s=api-server", "-a=a.b", "-n=1000"],
        &["-s=api-server", "-a=a.b", "--days=0"],
        &["-s=api-server", "-a=a.b", "--key=rsa:1024"],
        &["-s=api-server", "-a=a.b", "--key-style=other"],
        &["-s=api-server", "-a=a.b", "--namespace=Upper"],
        &["-s=api-server", "-a=a.b", "--rotate=leaf", "--force"],
        &["-s=api-server", "-a=a.b", "--include-ca-key"],
        &["-s=rabbit", "-a=a.b", "--key-style=dash"],
        &["-s=lease", "-a=a.b"],
        &["-s=lease", "--rotate=ca"],
        &["-s=dssm", "-n=1"],
    ] {
        assert_eq!(code(wrong), Some(2), "{wrong:?}");
    }
    // The call is right, but there is nothing to rotate, and no place to write to.
    assert_eq!(code(&["-s=api-server", "-a=a.b", "--rotate=leaf", "-o=z", key]), Some(1));
    assert_eq!(code(&["-s=grpc", "--rotate=ca", "-o=z"]), Some(1));
    assert_eq!(code(&["-s=lease", "--rotate=leaf", "-o=z"]), Some(1));
    fs::write(dir.path().join("file"), "").unwrap();
    assert_eq!(code(&["-s=api-server", "-a=a.b", "-o=file", key]), Some(1));
}

/// OPS-303: the closing lines, exactly.
#[test]
fn output_ends_with_the_documented_lines() {
    let dir = directory();
    let at = fs::canonicalize(dir.path()).unwrap();
    let said = done(dir.path(), &["-s=rabbit", "-a=broker", "-n=1", "--key=ec:p256"]);
    let place = at.display();
    assert_eq!(
        said,
        format!(
            "Done! Find generated certificates and private keys under ./result!\n\
             ./rabbit-secrets/ssl/server/certs/server_certificate.pem: OK\n\
             ./rabbit-secrets/ssl/client/certs/client_certificate.pem: OK\n\
             ./rabbit-secrets/ssl/client-1/certs/client_certificate.pem: OK\n\
             Copying secrets ...\n\
             Generating {place}/rabbitmq-server-certs.yaml\n\
             Generating {place}/rabbitmq-client-certs.yaml\n\
             Generating {place}/rabbitmq-client-1-certs.yaml\n"
        )
    );
    assert!(dir.path().join("result/client-1/certs/client_certificate.pem").is_file());
}

/// OPS-304: a larger `-n` adds clients and changes nothing else; a smaller one takes none away.
#[test]
fn larger_count_adds_clients_and_keeps_all_that_is_there() {
    let dir = directory();
    let make = |count: &str| done(dir.path(), &["-s=rabbit", "-a=broker", count, "--key=ec:p256"]);
    make("-n=1");
    let before: BTreeMap<_, _> = files(&dir.path().join("rabbit-secrets"))
        .into_keys()
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), text(&path)))
        .collect();
    assert_eq!(before.len(), 8);
    make("-n=3");
    for (path, was) in &before {
        assert_eq!(&text(path), was, "{path:?}");
    }
    let ca = dir.path().join("rabbit-secrets/ssl/ca/certs/ca_certificate.pem");
    for client in ["client-2", "client-3"] {
        let path =
            dir.path().join(format!("rabbit-secrets/ssl/{client}/certs/client_certificate.pem"));
        verify(&ca, &path, "sslclient");
        assert!(dir.path().join(format!("rabbitmq-{client}-certs.yaml")).is_file());
    }
    let said = make("-n=0");
    assert!(said.contains("rabbitmq-client-3-certs.yaml"), "{said}");
    done(dir.path(), &["-s=rabbit", "-a=broker", "--key=ec:p256", "--force"]);
    assert_ne!(text(&ca), before[&ca]);
    assert!(!dir.path().join("rabbit-secrets/ssl/client-1").exists());
}

/// OPS-305: private under any umask.
#[test]
fn keys_and_directories_are_private_under_any_umask() {
    for umask in ["000", "077", "777"] {
        let dir = directory();
        let status = Command::new("/bin/sh")
            .current_dir(dir.path())
            .args(["-c", "umask \"$0\"; exec \"$@\"", umask, env!("CARGO_BIN_EXE_cert-gen")])
            .args(["-s=api-server", "-a=a.b", "-o=new/out", "--key=ec:p256"])
            .output()
            .unwrap()
            .status;
        assert!(status.success(), "umask {umask}");
        let found = files(dir.path());
        assert!(found.len() > 10, "{found:?}");
        for (path, mode) in found {
            let wanted = match path.extension().and_then(|extension| extension.to_str()) {
                None => 0o700,
                Some("pem") if path.components().any(|part| part.as_os_str() == "certs") => 0o644,
                Some(_) => 0o600,
            };
            assert_eq!(mode, wanted, "{path:?} under umask {umask}");
        }
    }
}

/// OPS-306: the paths of the plain files for n = 0 and n = 2.
#[test]
fn plain_files_lie_where_the_reference_says() {
    for (count, clients) in
        [("-n=0", vec!["client"]), ("-n=2", vec!["client", "client-1", "client-2"])]
    {
        let dir = directory();
        done(dir.path(), &["-s=api-server", "-a=a.b", count, "--key=ec:p256"]);
        let root = dir.path().join("api-server-secrets/ssl");
        let mut wanted: Vec<String> = [
            "ca/certs/ca_certificate.pem",
            "ca/secrets/ca_key.pem",
            "server/certs/server_certificate.pem",
            "server/secrets/server_key.pem",
        ]
        .map(str::to_owned)
        .into();
        for client in clients {
            wanted.push(format!("{client}/certs/client_certificate.pem"));
            wanted.push(format!("{client}/secrets/client_key.pem"));
        }
        wanted.sort();
        let mut found: Vec<_> = files(&root)
            .into_keys()
            .filter(|path| path.is_file())
            .map(|path| path.strip_prefix(&root).unwrap().display().to_string())
            .collect();
        found.sort();
        assert_eq!(found, wanted);
    }
}

/// OPS-310 (names, keys, type; that an API server takes them is shown with a cluster), OPS-311.
#[test]
fn manifests_have_their_names_keys_and_type() {
    let dir = directory();
    let at = dir.path();
    let key = "--key=ec:p256";
    done(at, &["-s=api-server", "-a=a.b", key]);
    assert_eq!(keys(at, "cwc-license-certs"), ["ca_root.crt", "server.crt", "server.key"]);
    assert_eq!(keys(at, "cwc-license-client-certs"), ["ca-root-cert", "client-cert", "client-key"]);
    let (head, data) = manifest(at, "cwc-license-certs");
    assert_eq!(
        head,
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: cwc-license-certs\ntype: Opaque\n"
    );
    let ssl = at.join("api-server-secrets/ssl");
    assert_eq!(data["ca_root.crt"], text(ssl.join("ca/certs/ca_certificate.pem")));
    assert_eq!(data["server.crt"], text(ssl.join("server/certs/server_certificate.pem")));
    assert_eq!(data["server.key"], text(ssl.join("server/secrets/server_key.pem")));
    done(at, &["-s=api-server", "-a=a.b", "--key-style=dash", "--namespace=cwc", key]);
    assert_eq!(keys(at, "cwc-license-certs"), ["ca-root-cert", "server-cert", "server-key"]);
    assert!(manifest(at, "cwc-license-certs").0.contains("  namespace: cwc\n"));
    done(at, &["-s=rabbit", "-a=b", "-n=1", key]);
    for name in ["rabbitmq-client-certs", "rabbitmq-client-1-certs"] {
        assert_eq!(keys(at, name), ["ca-root-cert.pem", "client-cert.pem", "client-key.pem"]);
    }
    let server = ["ca-root-cert.pem", "server-cert.pem", "server-key.pem"];
    assert_eq!(keys(at, "rabbitmq-server-certs"), server);
    done(at, &["-s=grpc", key]);
    let names = ["f5-ing-demo-f5ingress", "grpc-otel-client", "grpc-otel-server", "grpc-svc"];
    assert_eq!(keys(at, "keys-secret"), names.map(|name| format!("{name}.key")));
    let mut certs = vec![String::from("ca_root.crt")];
    certs.extend(names.map(|name| format!("{name}.crt")));
    certs.sort();
    assert_eq!(keys(at, "certs-secret"), certs);
    done(at, &["-s=grpc", "--include-ca-key", key]);
    let ca_key = &manifest(at, "keys-secret").1["priv.key"];
    assert_eq!(*ca_key, text(at.join("grpc-secrets/ssl/ca/secrets/ca_key.pem")));
    done(at, &["-s=dssm", key]);
    assert_eq!(keys(at, "dssm-certs-secret"), ["dssm-ca.crt", "dssm-cert.crt"]);
    assert_eq!(keys(at, "dssm-keys-secret"), ["dhparam2048.pem", "dssm-key.key"]);
    done(at, &["-s=otel", key]);
    for name in ["external-otelsvr-secret", "external-f5ingotelsvr-secret"] {
        assert_eq!(keys(at, name), ["ca.crt", "tls.crt", "tls.key"]);
    }
}
