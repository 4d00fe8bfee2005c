//! The grammar of a TMM's log lines.
//!
//! Sources: operations.md 7.3 (OPS-720).

/// What is wrong with `line`, or nothing.
///
/// A line is `time pod -l=thread[pid]: id:severity: pairs`, the pairs `"key"="value"` joined by
/// `;`, of which the first three are `v`, `lt` and `l` and the last is `m`.
pub fn problem(line: &str) -> Option<&'static str> {
    check(line).err()
}

fn check(line: &str) -> Result<(), &'static str> {
    let (stamp, rest) = line.split_at_checked(15).ok_or("too short for a time")?;
    time(stamp)?;
    let rest = rest.strip_prefix(' ').ok_or("no space after the time")?;
    let (pod, rest) = rest.split_once(" -l=").ok_or("no ` -l=`")?;
    if pod.is_empty() || pod.contains(' ') {
        return Err("pod name");
    }
    let (thread, rest) = rest.split_once('[').ok_or("no thread")?;
    let (pid, rest) = rest.split_once("]: ").ok_or("no process id")?;
    if !digits(thread) || !digits(pid) {
        return Err("thread or process id is no number");
    }
    let (id, rest) = rest.split_once(':').ok_or("no message id")?;
    let hex = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if id.len() != 8 || !hex {
        return Err("message id is not 8 hex digits");
    }
    let (severity, rest) = rest.split_once(": ").ok_or("no severity")?;
    if severity.len() != 1 || !(b'0'..=b'7').contains(&severity.as_bytes()[0]) {
        return Err("severity is not a syslog digit");
    }
    let keys = pairs(rest)?;
    if keys.len() < 4 || keys[..3] != ["v", "lt", "l"] {
        return Err("pairs do not begin with v, lt, l");
    }
    if keys.last().map(String::as_str) != Some("m") {
        return Err("last pair is not m");
    }
    Ok(())
}

/// `May 10 08:44:32`; a day below ten may be padded by a space or a zero.
fn time(text: &str) -> Result<(), &'static str> {
    const MONTHS: &str = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
    let bytes = text.as_bytes();
    let number = |at: usize| text.get(at..at + 2).and_then(|two| two.trim().parse::<u32>().ok());
    let month = text.get(..3).is_some_and(|month| MONTHS.split(' ').any(|name| name == month));
    let separated = bytes[3] == b' ' && bytes[6] == b' ' && bytes[9] == b':' && bytes[12] == b':';
    let ranges = [(4, 1..=31), (7, 0..=23), (10, 0..=59), (13, 0..=60)];
    let ranged =
        ranges.into_iter().all(|(at, range)| number(at).is_some_and(|n| range.contains(&n)));
    if month && separated && ranged { Ok(()) } else { Err("time") }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Keys of the pairs, in order.
fn pairs(mut text: &str) -> Result<Vec<String>, &'static str> {
    let mut keys = Vec::new();
    loop {
        let (key, rest) = quoted(text)?;
        let rest = rest.strip_prefix('=').ok_or("no `=` after a key")?;
        let (_, rest) = quoted(rest)?;
        keys.push(key);
        if rest.is_empty() {
            return Ok(keys);
        }
        text = rest.strip_prefix(';').ok_or("no `;` between pairs")?;
    }
}

/// A quoted text and what follows it; `"` and `\` inside are escaped by `\`.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let inner = text.strip_prefix('"').ok_or("no opening quote")?;
    let mut value = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &inner[at + 1..])),
            '\\' => match characters.next() {
                Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                _ => return Err("a backslash escapes neither quote nor backslash"),
            },
            control if control.is_control() => return Err("control character"),
            other => value.push(other),
        }
    }
    Err("no closing quote")
}

#[cfg(test)]
mod tests {
    use super::problem;

    const GOOD: &str = r#"May 10 08:44:32 f5-tmm-0 -l=6[13]: 014c0022:4: "v"="1.0";"lt"="U";"l"="warning";"m"="a \"b\" \\""#;

    #[test]
    fn the_documented_line_matches() {
        assert_eq!(problem(GOOD), None);
    }

    #[test]
    fn a_line_that_breaks_any_part_is_told_apart() {
        for (from, to) in [
            ("May 10", "Mai 10"),
            ("08:44", "25:44"),
            (" -l=6", " -l=x"),
            ("[13]", "13"),
            ("014c0022", "14c0022"),
            (":4:", ":9:"),
            ("\"v\"=", "\"w\"="),
            (";\"m\"", ";\"n\""),
            ("\\\"b", "\"b"),
        ] {
            assert!(problem(&GOOD.replacen(from, to, 1)).is_some(), "{from} -> {to}");
        }
        assert!(problem("").is_some());
        assert!(problem("panicked at src/main.rs").is_some());
    }
}
