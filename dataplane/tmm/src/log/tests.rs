use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use super::layer::Pairs;
use super::*;

/// A log that keeps its lines.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone())
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

fn layer(level: Severity) -> (LogLayer, Kept) {
    let kept = Kept::default();
    (LogLayer::new("f5-tmm-0", level, Box::new(kept.clone())), kept)
}

fn pairs(text: &str, others: &[(&str, &str)]) -> Pairs {
    let others = others.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Pairs { id: None, text: text.to_owned(), others: others.collect() }
}

/// What a line must look like, read by hand; returns its pairs.
fn parse(line: &str) -> Option<Vec<(String, String)>> {
    let (time, rest) = line.split_at_checked(15)?;
    let clock: Vec<u32> = time[7..].split(':').filter_map(|part| part.parse().ok()).collect();
    let rest = rest.strip_prefix(' ')?;
    let (pod, rest) = rest.split_once(" -l=")?;
    let (thread, rest) = rest.split_once('[')?;
    let (pid, rest) = rest.split_once("]: ")?;
    let (id, rest) = rest.split_once(':')?;
    let (severity, rest) = rest.split_once(": ")?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let formed = clock.len() == 3
        && !pod.contains(' ')
        && number(thread)
        && number(pid)
        && id.len() == 8
        && id.bytes().all(hex)
        && severity.len() == 1
        && number(severity);
    let mut quoted = Vec::new();
    let mut chars = rest.chars();
    let mut expect = ['"', '=', '"', ';'].into_iter().cycle();
    // Pairs are quoted strings separated by = and ; in turn.
    loop {
        if chars.next()? != '"' {
            return None;
        }
        let mut text = String::new();
        loop {
            match chars.next()? {
                '\\' => text.push(chars.next()?),
                '"' => break,
                c => text.push(c),
            }
        }
        quoted.push(text);
        expect.next();
        match (chars.next(), expect.next()?) {
            (None, ';') => break,
            (Some(found), wanted) if found == wanted => {}
            _ => return None,
        }
    }
    let pairs: Vec<(String, String)> =
        quoted.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    let keys: Vec<&str> = pairs.iter().map(|(key, _)| key.as_str()).collect();
    (formed && keys.starts_with(&["v", "lt", "l"]) && keys.ends_with(&["m"])).then_some(pairs)
}

#[test]
fn a_line_has_the_documented_form() {
    let (layer, kept) = layer(Severity::Debug);
    let at = UNIX_EPOCH + Duration::from_secs(1_810_543_472);
    layer.write(
        MEMBER,
        Severity::Notice,
        &pairs("Pool Member Status Change: p 10.0.0.1:80 is up", &[("IP", "10.0.0.1")]),
        at,
    );
    let line = kept.lines().remove(0);
    assert!(line.starts_with("May 17 "), "{line}");
    assert!(line.contains(
        ": 01010057:5: \"v\"=\"1.0\";\"lt\"=\"U\";\"l\"=\"notice\";\"IP\"=\"10.0.0.1\";\"m\"=\""
    ));
    assert!(parse(&line).is_some(), "{line}");
}

#[test]
fn dates_are_those_of_the_calendar() {
    // date -u -d @N '+%b %e %H:%M:%S'
    for (seconds, date) in [
        (0, "Jan  1 00:00:00"),
        (951_782_399, "Feb 28 23:59:59"),
        (951_782_400, "Feb 29 00:00:00"),
        (951_868_800, "Mar  1 00:00:00"),
        (1_735_689_599, "Dec 31 23:59:59"),
        (1_735_689_600, "Jan  1 00:00:00"),
        (4_107_542_400, "Mar  1 00:00:00"),
    ] {
        let (layer, kept) = layer(Severity::Debug);
        let at = UNIX_EPOCH + Duration::from_secs(seconds);
        layer.write(STARTED, Severity::Notice, &pairs("Started: x", &[]), at);
        assert!(kept.lines()[0].starts_with(date), "{seconds}: {}", kept.lines()[0]);
    }
}

#[test]
fn quotes_backslashes_and_control_characters_cannot_break_a_line() {
    let (layer, kept) = layer(Severity::Debug);
    let evil = "a\"b\\c\nd\r\u{1b}[31m;\"m\"=\"x";
    layer.write(GATE_CLOSED, Severity::Critical, &pairs(evil, &[("reason", evil)]), UNIX_EPOCH);
    let lines = kept.lines();
    assert_eq!(lines.len(), 1);
    let parsed = parse(&lines[0]).unwrap();
    assert_eq!(parsed.len(), 5);
    assert_eq!(parsed[4].1, "a\"b\\c d  [31m;\"m\"=\"x");
}

proptest::proptest! {
    /// OPS-720: whatever keys and values hold, a message is one line of the grammar, and values that
    /// need no replacement are read back.
    #[test]
    fn any_key_and_value_make_one_line_of_the_grammar(
        text in ".*",
        others in proptest::collection::vec((proptest::string::string_regex("(?s).{0,12}").unwrap(), "(?s).{0,40}"), 0..4),
    ) {
        let (layer, kept) = layer(Severity::Debug);
        let given: Vec<(&str, &str)> =
            others.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        layer.write(GATE_CLOSED, Severity::Critical, &pairs(&text, &given), UNIX_EPOCH);
        let whole = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        proptest::prop_assert_eq!(whole.matches('\n').count(), 1);
        let parsed = parse(whole.trim_end_matches('\n'));
        proptest::prop_assert!(parsed.is_some(), "{}", whole);
        let parsed = parsed.unwrap_or_default();
        proptest::prop_assert_eq!(parsed.len(), 4 + given.len());
        for ((_, found), (_, value)) in parsed[3..].iter().zip(&given) {
            let plain = !value.chars().any(char::is_control);
            proptest::prop_assert!(!plain || found == value, "{} {}", found, value);
        }
    }
}

#[test]
fn lines_that_a_peer_can_trigger_are_limited_and_the_rest_is_counted() {
    let (layer, kept) = layer(Severity::Debug);
    for _ in 0..1000 {
        layer.write(
            LEASE_REJECTED,
            Severity::Warning,
            &pairs("License lease rejected: x", &[]),
            UNIX_EPOCH,
        );
    }
    assert_eq!(kept.lines().len(), 10);
    layer.write(
        LEASE_REJECTED,
        Severity::Warning,
        &pairs("License lease rejected: x", &[]),
        UNIX_EPOCH + Duration::from_secs(1),
    );
    assert!(kept.lines()[10].contains("\"suppressed\"=\"990\""));
    for _ in 0..1000 {
        layer.write(
            GATE_CLOSED,
            Severity::Critical,
            &pairs("License gate closed: x", &[]),
            UNIX_EPOCH,
        );
    }
    assert_eq!(kept.lines().len(), 11 + 1000, "no peer can trigger these");
}

#[test]
fn severities_below_the_level_are_not_written() {
    let (layer, kept) = layer(Severity::Warning);
    layer.write(STARTED, Severity::Notice, &pairs("Started: x", &[]), UNIX_EPOCH);
    layer.write(SETTING, Severity::Warning, &pairs("Setting: x", &[]), UNIX_EPOCH);
    assert_eq!(kept.lines().len(), 1);
    assert_eq!(Severity::from_word("Notice"), Some(Severity::Notice));
    assert_eq!(Severity::from_word("critical"), None);
}

#[test]
fn events_reach_the_line_with_their_row_and_libraries_with_the_common_one() {
    use tracing_subscriber::layer::SubscriberExt as _;
    let (layer, kept) = layer(Severity::Debug);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        gate_closed("lease_ended");
        member_changed("p", "fd00::1".parse().unwrap(), 80, false, "no_answer");
        tracing::error!(target: "h2", "broken \"pipe\"");
        tracing::error!(id = 0x2a01_0001_u64, "a library cannot take an id of ours");
    });
    let lines = kept.lines();
    assert!(lines[0].contains(": 2a010001:2: "), "{}", lines[0]);
    assert!(
        lines[0].ends_with("\"reason\"=\"lease_ended\";\"m\"=\"License gate closed: lease_ended\"")
    );
    assert!(
        lines[1]
            .ends_with("\"m\"=\"Pool Member Status Change: p [fd00::1]:80 is down (no_answer)\"")
    );
    assert!(lines[2].contains(": 2a000000:4: "), "{}", lines[2]);
    assert!(lines[3].contains(": 2a000000:4: "), "{}", lines[3]);
    assert!(lines.iter().all(|line| parse(line).is_some()));
}

#[test]
fn ids_are_unique() {
    let mut ids: Vec<u32> = MESSAGES.iter().map(|message| message.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), MESSAGES.len());
}
