//! Text patterns of the schemas: the regular expression that CRDs carry, and the same as code.
//!
//! Source: crds.md §3.3 and the field tables.

/// A pattern that a string must match whole.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// The OpenAPI pattern.
    pub regex: &'static str,
    /// What it asks for, in words.
    pub says: &'static str,
    /// The same decision as code.
    pub matches: fn(&str) -> bool,
}

/// `Obj`: metadata.name of another object.
pub const OBJECT_NAME: Pattern = Pattern {
    regex: r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    says: "a DNS-1123 subdomain: lower-case letters, digits, '-' and '.'",
    matches: |text| text.split('.').all(is_label),
};

/// `Tmm`: spec.name of another object.
pub const TMM_NAME: Pattern = Pattern {
    regex: r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
    says: "letters, digits, '_', '.' and '-', the first a letter or digit",
    matches: |text| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
    },
};

/// An interface of the TMM pod.
pub const INTERFACE: Pattern = Pattern {
    regex: r"^1\.[1-9][0-9]?$",
    says: "1.N, the N-th network of the TMM, N from 1 to 99",
    matches: |text| {
        text.strip_prefix("1.").is_some_and(|number| {
            matches!(number.len(), 1 | 2)
                && !number.starts_with('0')
                && number.bytes().all(|b| b.is_ascii_digit())
        })
    },
};

/// Length of an RFC 6052 prefix at the end of a network.
pub const RFC6052_LENGTH: Pattern = Pattern {
    regex: "/(32|40|48|56|64|96)$",
    says: "a prefix of length 32, 40, 48, 56, 64 or 96 (RFC 6052)",
    matches: |text| {
        text.rsplit_once('/')
            .is_some_and(|(_, n)| matches!(n, "32" | "40" | "48" | "56" | "64" | "96"))
    },
};

/// A port as text.
pub const PORT_TEXT: Pattern = Pattern {
    regex: "^[0-9]{1,5}$",
    says: "a port number",
    matches: |text| (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()),
};

fn is_label(label: &str) -> bool {
    let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = label.as_bytes();
    bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
        && bytes.iter().all(|b| edge(b) || *b == b'-')
}
