//! The 19 states: number, name and text, and the four slots that hold one each.
//!
//! Owns the one table of numbers, names and texts. Says nothing about what leads where: that is
//! `table`.
//!
//! Source: licensing.md §3.1, §3.2, LIC-200.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! states {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $text:literal;)+) => {
        /// One of the 19 states. The numbers are one vocabulary, used by all four slots.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[repr(u8)]
        pub enum State {
            $($(#[$doc])* $variant = $number,)+
        }

        impl State {
            /// All 19, by number.
            pub const ALL: [Self; 19] = [$(Self::$variant),+];

            /// Its number, 0 to 18.
            #[must_use]
            pub const fn number(self) -> u8 {
                self as u8
            }

            /// The state of this number; none above 18.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// Its name, as scripts know it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Its text, as `/status` shows it.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

states! {
    /// The process started and has read nothing.
    Default = 0, "StateCPCLDefault", "CPCL Default";
    /// JWT and JWKS verified, a digital asset id exists.
    Initialised = 1, "StateCPCLInitialised", "CPCL Initialised";
    /// JWT, JWKS or store unusable.
    InitializationFailed = 2, "StateCPCLInitializationFailed", "CPCL Initialization Failed";
    /// Binding the JWT to the digital asset id.
    RegistrationInProgress = 3, "StateDeviceRegistrationInProgress", "Device Registration In Progress";
    /// Bound.
    RegistrationComplete = 4, "StateDeviceRegistrationComplete", "Device Registration Complete";
    /// Could not bind.
    RegistrationFailed = 5, "StateDeviceRegistrationFailed", "Device Registration Failed";
    /// Counting usage, building a report.
    ReportInProgress = 6, "StateConfigReportInProgress", "Config Report In Progress";
    /// The report is stored.
    ReadyToDownload = 7, "StateConfigReadyToDownload", "Config Report Ready to Download";
    /// Could not count or build.
    ReportFailed = 8, "StateConfigReportFailed", "Config Report Failed";
    /// The report was unreadable when asked for.
    DownloadFailed = 9, "StateConfigReportDownloadFailed", "Config Report Download Failed";
    /// Handed out at least once.
    Downloaded = 10, "StateConfigDownloaded", "Config Report Downloaded";
    /// A receipt is being checked, or the report was sent upstream.
    VerificationInProgress = 11, "StateVerificationInProgress", "Verification In Progress";
    /// Acknowledged.
    VerificationComplete = 12, "StateVerificationComplete", "Verification Complete";
    /// The last receipt was refused, or upstream refused.
    VerificationFailed = 13, "StateVerificationFailed", "Verification Failed";
    /// Days left are at or below the threshold.
    ExpiringSoon = 14, "StateExpiringSoon", "Expiring Soon";
    /// Less than 24 h left.
    ExpiringToday = 15, "StateExpiringToday", "Expiring Today";
    /// The end is reached.
    Expired = 16, "StateExpired", "Expired";
    /// A window is open and collects.
    TelemetryInProgress = 17, "StateTelemetryInProgress", "Telemetry In Progress";
    /// The window ended, the report is not built yet.
    ReadyToGenerate = 18, "StateTelemetryReadyToGenerate", "Telemetry Ready To Generate";
}

impl State {
    /// Whether a report waits that `GET /report` hands out: 7, 9, 10, 13 (§3.6).
    #[must_use]
    pub const fn offers_report(self) -> bool {
        matches!(
            self,
            Self::ReadyToDownload
                | Self::DownloadFailed
                | Self::Downloaded
                | Self::VerificationFailed
        )
    }

    /// Whether a report was handed out or sent and waits for its receipt: 10, 11, 13 (A6).
    #[must_use]
    pub const fn awaits_receipt(self) -> bool {
        matches!(self, Self::Downloaded | Self::VerificationInProgress | Self::VerificationFailed)
    }

    /// Whether slot L in this state means an active licence: 12, 14, 15, 16.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(
            self,
            Self::VerificationComplete | Self::ExpiringSoon | Self::ExpiringToday | Self::Expired
        )
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        writer.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(reader)?;
        Self::from_number(number).ok_or_else(|| serde::de::Error::custom("no state"))
    }
}

/// One of the four slots (§3.2).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// L: the licence.
    License,
    /// R: the current report.
    Current,
    /// N: the next window.
    Next,
    /// S: the switch to another licence.
    Switch,
}

impl Slot {
    /// All four.
    pub const ALL: [Self; 4] = [Self::License, Self::Current, Self::Next, Self::Switch];

    /// Its name in `/v1/license` and in metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::License => "license",
            Self::Current => "current",
            Self::Next => "next",
            Self::Switch => "switch",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::State;

    /// LIC-200: numbers, names and texts are those of the reference.
    #[test]
    fn every_state_has_the_number_name_and_text_of_the_reference() {
        let rows = include_str!("../tests/data/states.txt");
        let rows: Vec<&str> = rows.lines().filter(|line| !line.starts_with('#')).collect();
        let ours = State::ALL.map(|s| format!("{}\t{}\t{}", s.number(), s.name(), s.text()));
        assert_eq!(rows, ours);
        for state in State::ALL {
            assert_eq!(State::from_number(state.number()), Some(state));
        }
        assert_eq!(State::from_number(19), None);
    }
}
