use super::*;

fn folder(values: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::TempDir::new().unwrap();
    for (name, text) in values {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

#[test]
fn an_empty_folder_gives_the_documented_defaults() {
    let config = Config::read(folder(&[]).path()).unwrap();
    assert_eq!(config.settings, Settings::default());
    assert_eq!(config.objects, Objects::default());
    assert_eq!(config.shell.rest_api_port, 30_881);
    assert_eq!(config.shell.posts_per_minute, 10);
    assert_eq!(config.shell.missed_heartbeats.ttl(), 183);
    assert!(!config.shell.require_token);
    assert_eq!(config.shell.upstream_url.host(), Some("product.apis.f5.com"));
}

/// LIC-309 and LIC-729: the ends of the ranges are taken and what lies beyond is refused, each by
/// its name. LIC-309's other clauses are in `proc_cwc`.
#[test]
fn values_are_taken_at_the_ends_of_their_ranges_and_refused_beyond() {
    let read = |key: &str, text: &str| {
        Config::read(folder(&[(&format!("cpcl-config-cm/{key}"), text)]).path())
    };
    for (key, good, bad) in [
        ("posts_per_minute", ["1", "100000"], ["0", "100001"]),
        ("missed_heartbeats", ["2", "10"], ["1", "11"]),
        ("rest_api_port", ["1", "65535"], ["0", "65536"]),
        ("require_token", ["true", "false"], ["yes", "1"]),
        ("log_level", ["debug", "error"], ["loud", "5"]),
        ("log_format", ["klog", "json"], ["text", "KLOG"]),
        ("upstream_url", ["https://a", "https://b:1/c"], ["http://a", "a"]),
    ] {
        for text in good {
            read(key, text).unwrap();
        }
        for text in bad {
            let refused = read(key, text).unwrap_err().to_string();
            assert!(refused.contains(key) && refused.contains(text), "{refused}");
        }
    }
}

#[test]
fn every_bad_value_of_a_set_is_named_at_once() {
    let dir = folder(&[("cpcl-config-cm/mode", "x"), ("cpcl-config-cm/posts_per_minute", "0")]);
    let refused = Config::read(dir.path()).unwrap_err().to_string();
    assert!(refused.contains("key mode") && refused.contains("posts_per_minute"), "{refused}");
}

#[test]
fn objects_come_from_their_own_folders() {
    let dir = folder(&[
        ("cpcl-config-cm/jwt", "a.b.c\n"),
        ("cpcl-key-cm/jwt.key", "{}"),
        ("cpcl-crt-cm/jwt_ca.crt", "CA"),
        ("cpcl-config-cm/..data/ignored", "x"),
    ]);
    let config = Config::read(dir.path()).unwrap();
    assert_eq!(config.objects.jwt.as_deref(), Some("a.b.c\n"));
    assert_eq!(config.objects.jwks.as_deref(), Some("{}"));
    assert_eq!(config.shell.upstream_ca.trim(), "CA");
}

#[test]
fn the_key_set_may_lie_where_the_seed_mounts_it() {
    let dir = folder(&[("mounted/jwt.key", "{\"keys\":[]}"), ("cpcl-jwt/jwt", "x.y.z")]);
    let path = dir.path().join("mounted/jwt.key");
    let values = dir.path().join("cpcl-config-cm");
    fs::create_dir(&values).unwrap();
    fs::write(values.join("signed_verification_cert_path"), path.to_str().unwrap()).unwrap();
    let config = Config::read(dir.path()).unwrap();
    assert_eq!(config.objects.jwks.as_deref(), Some("{\"keys\":[]}"));
    assert_eq!(config.objects.jwt.as_deref(), Some("x.y.z"));
}
