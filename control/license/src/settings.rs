//! The values of ConfigMap `cpcl-config-cm` that the machine uses.
//!
//! Owns their names, defaults and ranges. Reads no file: the shell hands in a look-up. Values that
//! only the shell uses (ports, log level, upstream address) are the shell's.
//!
//! Source: licensing.md §13 (table of values), §5, §5.1, §3.1, §10.3.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::token::OrderType;
use spk_entitlement::Class;

/// How reports reach the authority (§5).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By hand, through `GET /report` and `POST /receipt`.
    #[default]
    Disconnected,
    /// The CWC posts them to the authority.
    Connected,
    /// The CWC posts them to a local licence manager, which forwards them.
    Mediated,
}

impl Mode {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Disconnected, Self::Connected, Self::Mediated];

    /// Its text in `mode` and in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Connected => "connected",
            Self::Mediated => "mediated",
        }
    }

    /// Whether the CWC sends reports itself.
    #[must_use]
    pub const fn sends(self) -> bool {
        match self {
            Self::Disconnected => false,
            Self::Connected | Self::Mediated => true,
        }
    }
}

/// What the machine is configured with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// `custom_id`: name of the cluster. Default `SPK Cluster`.
    pub friendly_name: String,
    /// `digital_asset_name`. Default `SPK`.
    pub digital_asset_name: String,
    /// `digital_asset_version`. Default `1.2.0`.
    pub digital_asset_version: String,
    /// `product_name`. Default `SPK`.
    pub product_name: String,
    /// `mode`. Default disconnected.
    pub mode: Mode,
    /// `trusted_issuers`: JSON list. Default `["F5 Inc."]` (V9, A2).
    pub trusted_issuers: Vec<String>,
    /// `report_grace_hours`: 1 to 720, default 24. How long upstream may not answer before the
    /// report counts as refused (§5.1).
    pub report_grace: Duration,
    /// `expiring_soon_days`: 0 to 366. Days left at which state 14 begins; default 30 for
    /// production and 7 for trial (LIC-201).
    pub expiring_soon_days: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            friendly_name: "SPK Cluster".to_owned(),
            digital_asset_name: "SPK".to_owned(),
            digital_asset_version: "1.2.0".to_owned(),
            product_name: "SPK".to_owned(),
            mode: Mode::Disconnected,
            trusted_issuers: vec!["F5 Inc.".to_owned()],
            report_grace: Duration::from_hours(24),
            expiring_soon_days: None,
        }
    }
}

/// One value that does not make sense.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("cpcl-config-cm key {key} is {value:?}, expected {expected}")]
pub struct SettingError {
    /// The key in `cpcl-config-cm`.
    pub key: &'static str,
    /// Its text.
    pub value: String,
    /// What would do.
    pub expected: &'static str,
}

impl SettingError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "setting_invalid"
    }
}

impl Settings {
    /// Reads the values through `value`, which returns the text of one key of `cpcl-config-cm`.
    /// Absent or empty values have their default.
    ///
    /// # Errors
    ///
    /// Every value that does not make sense.
    pub fn read<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Vec<SettingError>> {
        let mut settings = Self::default();
        let mut errors = Vec::new();
        let given = |key: &str| value(key).map(str::trim).filter(|text| !text.is_empty());
        for (key, field) in [
            ("custom_id", &mut settings.friendly_name),
            ("digital_asset_name", &mut settings.digital_asset_name),
            ("digital_asset_version", &mut settings.digital_asset_version),
            ("product_name", &mut settings.product_name),
        ] {
            if let Some(text) = given(key) {
                text.clone_into(field);
            }
        }
        let mut refuse = |key, value: &str, expected| {
            errors.push(SettingError { key, value: value.to_owned(), expected });
        };
        if let Some(text) = given("mode") {
            match Mode::ALL.into_iter().find(|mode| mode.as_str() == text) {
                Some(mode) => settings.mode = mode,
                None => refuse("mode", text, "disconnected, connected or mediated"),
            }
        }
        if let Some(text) = given("trusted_issuers") {
            match serde_json::from_str::<Vec<String>>(text) {
                Ok(issuers) if !issuers.is_empty() => settings.trusted_issuers = issuers,
                Ok(_) | Err(_) => {
                    refuse("trusted_issuers", text, "a JSON list of one or more texts")
                }
            }
        }
        if let Some(text) = given("report_grace_hours") {
            match text.parse::<u64>() {
                Ok(hours @ 1..=720) => settings.report_grace = Duration::from_hours(hours),
                Ok(_) | Err(_) => refuse("report_grace_hours", text, "a number from 1 to 720"),
            }
        }
        if let Some(text) = given("expiring_soon_days") {
            match text.parse::<u32>() {
                Ok(days @ 0..=366) => settings.expiring_soon_days = Some(days),
                Ok(_) | Err(_) => refuse("expiring_soon_days", text, "a number from 0 to 366"),
            }
        }
        if errors.is_empty() { Ok(settings) } else { Err(errors) }
    }

    /// Seconds before the end at which a licence of this type expires soon.
    #[must_use]
    pub fn expiring_soon(&self, order: OrderType) -> u64 {
        let days = self.expiring_soon_days.unwrap_or(match order.class() {
            Class::Production => 30,
            Class::Trial | Class::Unactivated => 7,
        });
        u64::from(days) * 86_400
    }
}

#[cfg(test)]
mod tests {
    use super::{Mode, Settings};

    fn read(values: &[(&str, &'static str)]) -> Result<Settings, Vec<super::SettingError>> {
        Settings::read(|key| values.iter().find(|(name, _)| *name == key).map(|(_, text)| *text))
    }

    #[test]
    fn absent_values_have_their_defaults() {
        assert_eq!(read(&[]).unwrap(), Settings::default());
        assert_eq!(read(&[("mode", "")]).unwrap().mode, Mode::Disconnected);
    }

    #[test]
    fn every_bad_value_is_named() {
        let errors = read(&[
            ("mode", "online"),
            ("trusted_issuers", "F5 Inc."),
            ("report_grace_hours", "0"),
            ("expiring_soon_days", "367"),
        ])
        .unwrap_err();
        let keys: Vec<&str> = errors.iter().map(|error| error.key).collect();
        let all = ["mode", "trusted_issuers", "report_grace_hours", "expiring_soon_days"];
        assert_eq!(keys, all);
    }

    #[test]
    fn given_values_are_taken() {
        let settings = read(&[
            ("custom_id", "Lab"),
            ("mode", "mediated"),
            ("trusted_issuers", r#"["A", "B"]"#),
            ("expiring_soon_days", "10"),
        ])
        .unwrap();
        assert_eq!(settings.friendly_name, "Lab");
        assert_eq!(settings.mode, Mode::Mediated);
        assert_eq!(settings.trusted_issuers, ["A", "B"]);
        assert_eq!(settings.expiring_soon(crate::token::OrderType::Paid), 864_000);
    }
}
