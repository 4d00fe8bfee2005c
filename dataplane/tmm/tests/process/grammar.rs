//! The form of a TMM's log line, read by hand (operations.md §7.3).

/// The first line of `log` that has not the documented form, if there is one. What a process that
/// cannot start says to a person on standard error begins with `tmm: ` and is no line of the log; a
/// last line without an end is still being written.
pub fn malformed(log: &str) -> Option<&str> {
    let lines = log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    lines.filter(|line| !line.starts_with("tmm: ")).find(|line| !is_formed(line))
}

fn is_formed(line: &str) -> bool {
    form(line).is_some()
}

/// `Mmm dd hh:mm:ss pod -l=thread[pid]: id:severity: "key"="value";...`
fn form(line: &str) -> Option<()> {
    let (time, rest) = line.split_at_checked(15)?;
    let rest = rest.strip_prefix(' ')?;
    let (pod, rest) = rest.split_once(" -l=")?;
    let (thread, rest) = rest.split_once('[')?;
    let (pid, rest) = rest.split_once("]: ")?;
    let (id, rest) = rest.split_once(':')?;
    let (severity, rest) = rest.split_once(": ")?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let clock: Vec<&str> = time.get(7..)?.split(':').collect();
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let keys = keys(rest)?;
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let is_good = clock.len() == 3
        && clock.iter().all(|part| digits(part))
        && !pod.is_empty()
        && !pod.contains(' ')
        && digits(thread)
        && digits(pid)
        && id.len() == 8
        && id.bytes().all(hex)
        && severity.len() == 1
        && digits(severity)
        && keys.starts_with(&["v", "lt", "l"])
        && keys.ends_with(&["m"]);
    is_good.then_some(())
}

/// Keys of `"key"="value"` pairs joined by `;`.
fn keys(mut rest: &str) -> Option<Vec<String>> {
    let mut keys = Vec::new();
    loop {
        let (key, after) = quoted(rest)?;
        let (_, after) = quoted(after.strip_prefix('=')?)?;
        keys.push(key);
        if after.is_empty() {
            return Some(keys);
        }
        rest = after.strip_prefix(';')?;
    }
}

/// A string in quotation marks, in which `\` escapes, and what comes after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut found = String::new();
    let mut chars = inner.char_indices();
    loop {
        match chars.next()? {
            (_, '\\') => found.push(chars.next()?.1),
            (at, '"') => return Some((found, inner.get(at + 1..)?)),
            (_, other) => found.push(other),
        }
    }
}
