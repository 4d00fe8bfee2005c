//! What must never be said, and the search for it.
//!
//! Owns how the secrets of a folder are found: tokens, private keys, the bearer token. The search
//! looks at files only; who runs a program keeps what it said in files.
//! Source: licensing.md §1.2, LIC-013.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

/// Shortest part of a secret that is looked for; a shorter one may stand anywhere by chance.
const SHORTEST: usize = 24;

/// Every secret in the files below `folder`: payload and signature of each compact token, each member
/// `d` of a key, each line of a private PEM, each bearer token.
///
/// # Errors
///
/// The system's.
pub fn marks(folder: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let Ok(kind) = fs::symlink_metadata(&path) else { continue };
        if kind.is_dir() {
            open.extend(fs::read_dir(&path)?.flatten().map(|entry| entry.path()));
        } else if kind.is_file() {
            let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
            of_text(&text, path.ends_with("cwc-auth-token/token"), &mut found);
        }
    }
    Ok(found)
}

/// The secrets of one text; `bearer`: the whole of it is one.
pub fn of_text(text: &str, bearer: bool, found: &mut BTreeSet<String>) {
    let mut add = |secret: &str| {
        if secret.len() >= SHORTEST {
            found.insert(secret.to_owned());
        }
    };
    if bearer {
        add(text.trim());
    }
    for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))) {
        let parts: Vec<&str> = word.split('.').collect();
        // Every header of a token begins with `{"`.
        if let [header, payload, signature] = parts[..]
            && header.starts_with("eyJ")
        {
            add(payload);
            add(signature);
        }
    }
    for after in text.split("\"d\":\"").skip(1) {
        add(after.split('"').next().unwrap_or_default());
    }
    let mut private = false;
    for line in text.lines() {
        if line.starts_with("-----") {
            private = line.contains("BEGIN") && line.contains("PRIVATE KEY");
        } else if private {
            add(line.trim());
        }
    }
}

/// Where a mark stands in the files, as `file: mark's first characters`. A file that is not there
/// holds none.
///
/// # Errors
///
/// The system's.
pub fn spoken(marks: &BTreeSet<String>, files: &[PathBuf]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.exists()) {
        let text = String::from_utf8_lossy(&fs::read(file)?).into_owned();
        for mark in marks.iter().filter(|mark| text.contains(mark.as_str())) {
            found.push(format!("{}: {}…", file.display(), mark.get(..12).unwrap_or(mark)));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_secret_is_found_where_it_was_said() {
        let folder = tempfile::TempDir::new().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let secret = |letter: &str| letter.repeat(SHORTEST);
        write("jwt", &format!("eyJhbGciOiJ4In0.{}.{}", secret("p"), secret("s")));
        write("key", &format!("{{\"x\":\"{}\",\"d\":\"{}\"}}", secret("x"), secret("d")));
        write("a.key", &format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END", secret("k")));
        write("a.crt", &format!("-----BEGIN CERTIFICATE-----\n{}\n-----END", secret("c")));
        write("cwc-auth-token/token", &secret("b"));
        let marks = marks(folder.path()).unwrap();
        let expected = ["b", "d", "k", "p", "s"].map(secret);
        assert_eq!(marks, BTreeSet::from(expected.clone()));
        for mark in expected {
            write("log", &format!("I1201 cwc.rs:1] got <{mark}>"));
            let found = spoken(&marks, &[folder.path().join("log")]).unwrap();
            assert_eq!(found.len(), 1, "{found:?}");
        }
    }
}
