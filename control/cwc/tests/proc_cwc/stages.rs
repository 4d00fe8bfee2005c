//! A CWC led to the stages of a licence that people see on the page.

use std::time::Duration;

use serde_json::{Value, json};
use spk_entitlement::messages::{Body, GateState};

use crate::authority;
use crate::client::Client;
use crate::controller::{Controller, runtime};
use crate::rig::{Cwc, Rig, eventually};

/// What became of a licence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// There is no JWT.
    NoJwt,
    /// The first report waits for its download.
    ReportWaits,
    /// The first report was downloaded.
    Downloaded,
    /// A receipt of another report was uploaded.
    VerificationFailed,
    /// A production licence with a year left, and a CWC that was started again.
    ActivePaid,
    /// A trial with two days left.
    TrialExpiring,
    /// A trial that has ended.
    TrialExpired,
    /// A trial whose next licence waits for its receipt.
    Switching,
}

impl Stage {
    pub const ALL: [Self; 8] = [
        Self::NoJwt,
        Self::ReportWaits,
        Self::Downloaded,
        Self::VerificationFailed,
        Self::ActivePaid,
        Self::TrialExpiring,
        Self::TrialExpired,
        Self::Switching,
    ];

    /// A rig whose CWC can come to this stage.
    pub fn rig(self) -> Rig {
        match self {
            Self::NoJwt => {
                let rig = Rig::bare();
                rig.put("config/cpcl-key-cm/jwt.key", &authority::jwks());
                rig.certificates();
                rig
            }
            Self::ReportWaits | Self::Downloaded | Self::VerificationFailed | Self::ActivePaid => {
                Rig::new("paid")
            }
            Self::TrialExpiring | Self::TrialExpired | Self::Switching => Rig::new("eval"),
        }
    }

    /// Whether the first receipt was accepted.
    pub fn is_active(self) -> bool {
        match self {
            Self::NoJwt | Self::ReportWaits | Self::Downloaded | Self::VerificationFailed => false,
            Self::ActivePaid | Self::TrialExpiring | Self::TrialExpired | Self::Switching => true,
        }
    }

    /// Starts the CWC and leads it to this stage.
    pub fn reach(self, rig: &Rig) -> Cwc<'_> {
        for name in ["vlan-internal", "vlan-external"] {
            let text = format!(
                "apiVersion: k8s.f5net.com/v1\nkind: F5SPKVlan\nmetadata:\n  name: {name}\n\
                 spec:\n  name: {name}\n"
            );
            rig.put(&format!("resources/{name}.yaml"), &text);
        }
        let mut cwc = rig.start();
        let client = rig.client();
        let wait = |what: &str, state: u64| {
            eventually(Duration::from_secs(20), what, || client.state() == state);
        };
        match self {
            Self::NoJwt => wait("the missing JWT to be told", 2),
            Self::ReportWaits => wait("a report", 7),
            Self::Downloaded => {
                wait("a report", 7);
                client.report();
            }
            Self::VerificationFailed => {
                wait("a report", 7);
                let other = json!({ "reportID": uuid::Uuid::new_v4() });
                let receipt = authority::receipt_with(&client.report(), &other);
                assert_eq!(client.post("/receipt", &receipt).status, 422);
            }
            Self::ActivePaid => {
                activate(&client, &json!({}));
                // Usage is counted at a start, else once an hour.
                cwc.kill();
                cwc = rig.start();
                eventually(Duration::from_secs(20), "a sample", || {
                    client.json("/v1/telemetry")["usage"]["samples"] != 0
                });
            }
            Self::TrialExpiring => activate(&client, &trial(2 * 86_400 + 3_600)),
            Self::TrialExpired => {
                activate(&client, &trial(2));
                wait("the end of the trial", 16);
            }
            Self::Switching => {
                activate(&client, &trial(5 * 86_400));
                assert_eq!(client.post("/reactivate", &authority::jwt("paid")).status, 200);
                eventually(Duration::from_secs(20), "the report of the switch", || {
                    client.json("/v1/license")["slots"]["switch"]["state"] == 7
                });
            }
        }
        hear_a_controller(rig);
        cwc
    }
}

fn activate(client: &Client, more: &Value) {
    eventually(Duration::from_secs(20), "a report", || client.state() == 7);
    let receipt = authority::receipt_with(&client.report(), more);
    let reply = client.post("/receipt", &receipt);
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// Claims of a trial that ends in `seconds`.
fn trial(seconds: u64) -> Value {
    json!({ "entitlement": { "orderType": "eval", "expiry": authority::wall() + seconds } })
}

/// Has a Controller with three TMMs ask for the entitlement.
fn hear_a_controller(rig: &Rig) {
    runtime().block_on(async {
        let mut controller = Controller::new(rig, "spk-1");
        let id = controller.ask_for(&TMMS);
        controller
            .next("an answer", |message| {
                let counts = !matches!(message.body, Body::Heartbeat(_));
                counts && message.reply_to == Some(id)
            })
            .await;
    });
}

/// The TMMs that the Controller names.
pub const TMMS: [(&str, &str, GateState); 3] = [
    ("uid-0", "f5-tmm-6cf7b8d9c4-x2x9l", GateState::Closed),
    ("uid-1", "f5-tmm-6cf7b8d9c4-8kq7m", GateState::Open),
    ("uid-2", "f5-tmm-6cf7b8d9c4-z5w4t", GateState::Latched),
];
