//! Form, hash and limit of record `context`.

use serde_json::{Map, Value};

use super::{Forms, LIMIT, RecordError, hash, read, write};
use crate::context::Context;
use crate::rig::Rig;
use crate::settings::Mode;

fn context() -> Context {
    Rig::active("paid").machine.context().clone()
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let context = context();
    let text = write(&context, &Forms::RELEASE).unwrap();
    assert_eq!(read(&text, &Forms::RELEASE).unwrap(), context);
    assert!(text.starts_with("{\"schema\":1,"));
    let whole: Map<String, Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(whole["sha256"].as_str().map(str::len), Some(64));
}

/// LIC-515 (the record; the machine's side is in `machine::tests::restart`).
#[test]
fn a_cut_or_altered_record_is_damaged() {
    let text = write(&context(), &Forms::RELEASE).unwrap();
    for at in [0, 1, 60, 66, 80, text.len() / 2, text.len() - 1] {
        assert_eq!(read(&text[..at], &Forms::RELEASE), Err(RecordError::Damaged), "cut at {at}");
        let mut altered = text.clone().into_bytes();
        altered[at] ^= 1;
        let altered = String::from_utf8(altered).unwrap();
        assert_eq!(read(&altered, &Forms::RELEASE), Err(RecordError::Damaged), "bit at {at}");
    }
    assert_eq!(read("", &Forms::RELEASE), Err(RecordError::Damaged));
}

/// The form after the present one, for tests: it has no member `starts`, which the one before had.
pub const NEXT_FORM: Forms = Forms {
    newest: 2,
    raise: |mut members| {
        members.remove("starts");
        members
    },
    lower: |mut members| {
        let epoch = members.get("epoch").cloned().unwrap_or_default();
        members.insert("starts".to_owned(), epoch);
        members
    },
};

/// LIC-520 (the record): n−1 and n are read, n+1 is refused, and n−1 is written as the release
/// before reads it.
#[test]
fn a_release_reads_its_form_and_the_one_before() {
    let mut context = context();
    let old = write(&context, &Forms::RELEASE).unwrap();
    assert_eq!(read(&old, &NEXT_FORM).unwrap(), context);
    let still_old = write(&context, &NEXT_FORM).unwrap();
    assert!(still_old.contains("\"starts\":"), "the form before has it");
    assert_eq!(read(&still_old, &Forms::RELEASE).unwrap(), context);
    context.form = 2;
    let new = write(&context, &NEXT_FORM).unwrap();
    assert!(!new.contains("\"starts\":"));
    assert_eq!(read(&new, &NEXT_FORM).unwrap(), context);
    assert_eq!(read(&new, &Forms::RELEASE), Err(RecordError::Newer { form: 2 }));
    let third = Forms { newest: 3, ..NEXT_FORM };
    assert_eq!(read(&old, &third), Err(RecordError::Damaged), "older than the one before");
}

#[test]
fn a_record_above_the_limit_is_not_written() {
    let mut context = context();
    let mut rig = Rig::waiting("paid", Mode::Disconnected);
    rig.download();
    let mut report = rig.machine.context().reports.license.clone().unwrap();
    report.text = "a".repeat(LIMIT).into();
    context.reports.switch = Some(report);
    assert_eq!(write(&context, &Forms::RELEASE), Err(RecordError::TooLarge));
    assert_eq!(hash("").len(), 64);
}
