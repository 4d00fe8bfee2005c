//! Where the bus is, as `--bus` says it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the bus is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// A RabbitMQ broker: `amqps://host:port`, port 5671 by default.
    Broker {
        /// Name or IP address, without the brackets of IPv6.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// The Unix socket that the CWC serves: `local:path`.
    Local(PathBuf),
}

/// The text is no address of a bus.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("bus {text:?} is neither amqps://host:port nor local:path")]
pub struct AddressError {
    text: String,
}

impl AddressError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "bus_address_invalid"
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let parsed = match text.split_once(':') {
            Some(("local", path)) if !path.is_empty() => Some(Self::Local(PathBuf::from(path))),
            Some(("amqps", rest)) => rest.strip_prefix("//").and_then(broker),
            _ => None,
        };
        parsed.ok_or_else(|| AddressError { text: text.to_owned() })
    }
}

fn broker(authority: &str) -> Option<Address> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port.strip_prefix(':').or(port.is_empty().then_some(""))?)
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let port = if port.is_empty() { PORT } else { port.parse().ok()? };
    let strange = |letter: char| matches!(letter, '/' | '@' | '?' | '#') || letter.is_whitespace();
    let good = !host.is_empty() && !host.contains(strange);
    good.then(|| Address::Broker { host: host.to_owned(), port })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broker { host, port } if host.contains(':') => {
                write!(f, "amqps://[{host}]:{port}")
            }
            Self::Broker { host, port } => write!(f, "amqps://{host}:{port}"),
            Self::Local(path) => write!(f, "local:{}", path.display()),
        }
    }
}

/// AMQP over TLS (licensing.md §10.1).
const PORT: u16 = 5671;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        let broker = |host: &str, port| Address::Broker { host: String::from(host), port };
        for (text, address, written) in [
            ("amqps://bus.example", broker("bus.example", 5671), "amqps://bus.example:5671"),
            ("amqps://127.0.0.1:5", broker("127.0.0.1", 5), "amqps://127.0.0.1:5"),
            ("amqps://[::1]:5671", broker("::1", 5671), "amqps://[::1]:5671"),
            ("amqps://[::1]", broker("::1", 5671), "amqps://[::1]:5671"),
            ("local:/run/bus.sock", Address::Local("/run/bus.sock".into()), "local:/run/bus.sock"),
        ] {
            assert_eq!(text.parse(), Ok(address.clone()), "{text}");
            assert_eq!(address.to_string(), written);
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_text() {
        for text in [
            "",
            "local",
            "local:",
            "amqp://host:5672",
            "amqps:host",
            "amqps://",
            "amqps://:5671",
            "amqps://user@host",
            "amqps://host/vhost",
            "amqps://host:70000",
            "amqps://[::1]5671",
            "amqps://[host]:1",
            "amqps://ho st",
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
            assert_eq!(error.code(), "bus_address_invalid");
        }
    }
}
