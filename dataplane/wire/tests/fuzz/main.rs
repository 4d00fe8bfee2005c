//! Every parser and builder over any bytes: random ones, and a corpus of small packets and finds.
//!
//! The corpus is `tests/data/fuzz/<target>/*.hex` of the workspace: hexadecimal text, `#` starts a
//! comment. A find of a fuzzer becomes a file there. Missing seeds are written by
//! `cargo test -p tmm-wire --test fuzz -- --ignored seeds`.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

mod seeds;
mod targets;

use targets::TARGETS;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/fuzz").join(target)
}

/// Reads hexadecimal text with comments.
fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .lines()
        .flat_map(|line| line.split('#').next().unwrap_or_default().chars())
        .filter(|letter| !letter.is_whitespace())
        .map(|letter| letter.to_digit(16).expect("hexadecimal text") as u8)
        .collect();
    assert!(digits.len().is_multiple_of(2), "whole bytes");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Files of a target's corpus, by name.
fn files(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(corpus(target)).expect("every target has a corpus");
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), unhex(&fs::read_to_string(&path).unwrap())))
        .collect();
    files.sort();
    files
}

#[test]
fn corpus_and_its_cuts_and_flips_hold_for_every_target() {
    for (name, target) in TARGETS {
        let files = files(name);
        assert!(!files.is_empty(), "{name} has no corpus");
        for (path, bytes) in files {
            let hold = |bytes: &[u8]| {
                let result = std::panic::catch_unwind(|| target(bytes));
                assert!(result.is_ok(), "{name}: {} broke it: {bytes:02x?}", path.display());
            };
            hold(&bytes);
            for len in 0..bytes.len() {
                hold(&bytes[..len]);
            }
            for at in 0..bytes.len() {
                for with in [0x01, 0x80, 0xff] {
                    let mut flipped = bytes.clone();
                    flipped[at] ^= with;
                    hold(&flipped);
                }
            }
        }
    }
}

/// Every target's corpus gets past its parser, or the corpus says nothing.
#[test]
fn corpus_reaches_every_parser() {
    for (name, seeds) in seeds::all() {
        let files = files(name);
        for (seed, bytes) in seeds {
            let found = files.iter().any(|(_, file)| *file == bytes);
            assert!(found, "{name}: seed {seed} is not in the corpus, see this file's head");
        }
    }
    assert_eq!(
        seeds::all().iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>()
    );
}

#[test]
#[ignore = "writes the corpus"]
fn seeds() {
    for (name, seeds) in seeds::all() {
        let folder = corpus(name);
        fs::create_dir_all(&folder).unwrap();
        for (seed, bytes) in seeds {
            let mut text = format!("# {name}: {seed}\n");
            for line in bytes.chunks(32) {
                let line: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
                text.push_str(&line.concat());
                text.push('\n');
            }
            fs::write(folder.join(format!("{}.hex", seed.replace(' ', "_"))), text).unwrap();
        }
    }
}

/// Eight times proptest's number, which the variable `PROPTEST_CASES` sets.
fn cases() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases.saturating_mul(8), ..default }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_bytes_hold_for_every_target(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }

    /// Random bytes behind a plausible start get further than noise.
    #[test]
    fn spliced_corpus_holds_for_every_target(
        pick in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        tail in prop::collection::vec(any::<u8>(), 0..64),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let all: Vec<Vec<u8>> = seeds::all()
            .into_iter()
            .flat_map(|(_, seeds)| seeds.into_iter().map(|(_, bytes)| bytes))
            .collect();
        let mut bytes = pick.get(&all).clone();
        bytes.truncate(cut.index(bytes.len() + 1));
        bytes.extend(tail);
        for (at, with) in flips {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= with;
            }
        }
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }
}
