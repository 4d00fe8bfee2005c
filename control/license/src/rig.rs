//! A shell for tests: a store, two clocks, and an authority, all in memory.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use spk_entitlement::{Class, Reason, Verdict};
use spk_jose::RsaSigningKey;
use uuid::Uuid;

use crate::calendar::samples::Usage;
use crate::event::{Boot, Event, Objects, Stored};
use crate::fixture::{LICENSE, NOW, authority, claims, report_key, signed, with};
use crate::machine::Machine;
use crate::now::{Entropy, Now};
use crate::settings::{Mode, Settings};
use crate::state::{Slot, State};
use crate::step::{Answer, Notice, Output, Refusal, Storing, Upload};

/// Numbers instead of chance.
#[derive(Clone, Debug, Default)]
pub struct Numbers(u64);

impl Entropy for Numbers {
    fn uuid(&mut self) -> Uuid {
        self.0 += 1;
        Uuid::from_u128(u128::from(self.0) | 0x4000_8000_0000_0000_0000)
    }

    fn word(&mut self) -> u64 {
        self.0 += 1;
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

#[derive(Clone, Debug)]
pub struct Rig {
    pub machine: Machine,
    pub now: Now,
    pub numbers: Numbers,
    /// Record `context`.
    pub stored: Option<String>,
    /// Record `digitalassetid`.
    pub asset: Option<Uuid>,
    pub objects: Objects,
    /// What counting usage gives.
    pub usage: Option<Usage>,
    /// Whether usage is counted at once.
    pub counts: bool,
    /// Whether storing fails.
    pub broken: bool,
    pub writes: u32,
    /// Every write, if wanted: when, and the record before and after it.
    pub trail: Option<Vec<(Now, Option<String>, String)>>,
    /// Everything that was put out, and stored before.
    pub outputs: Vec<Output>,
}

pub const USAGE: Usage = Usage { cpu_count: 8, unique_crds: 3, total_crds: 12 };

impl Rig {
    /// Not booted, with this JWT.
    pub fn with_jwt(claims: &Value, mode: Mode) -> Self {
        let settings = Settings { mode, ..Settings::default() };
        let jwks = RsaSigningKey::key_set([authority()]);
        Self {
            machine: Machine::new(settings, Some(report_key())),
            now: at(NOW),
            numbers: Numbers::default(),
            stored: None,
            asset: None,
            objects: Objects { jwt: Some(signed(claims)), jwks: Some(jwks) },
            usage: Some(USAGE),
            counts: true,
            broken: false,
            writes: 0,
            trail: None,
            outputs: Vec::new(),
        }
    }

    /// Booted up to state 7 (disconnected) or 11, with a licence of this type.
    pub fn waiting(order: &str, mode: Mode) -> Self {
        let mut rig = Self::with_jwt(&with(claims(), "f5_order_type", json!(order)), mode);
        rig.boot();
        rig.settle();
        rig
    }

    /// Active since [`NOW`], disconnected.
    pub fn active(order: &str) -> Self {
        let mut rig = Self::waiting(order, Mode::Disconnected);
        rig.download();
        let receipt = rig.receipt(Slot::License);
        rig.feed(Event::Receipt(receipt)).unwrap();
        assert!(rig.machine.is_active());
        rig
    }

    /// Starts the process from what is stored.
    pub fn boot(&mut self) {
        self.machine = Machine::new(self.machine.settings().clone(), Some(report_key()));
        let boot = Boot {
            context: self.stored.clone().map_or(Stored::Absent, Stored::Text),
            digital_asset_id: self
                .asset
                .map_or(Stored::Absent, |asset| Stored::Text(asset.to_string())),
            objects: self.objects.clone(),
        };
        self.feed(Event::Boot(Box::new(boot))).unwrap();
    }

    /// Feeds one event as a shell does.
    pub fn feed(&mut self, event: Event) -> Result<Answer, Refusal> {
        let step = self.machine.step(event, self.now, &mut self.numbers);
        match step.storing {
            Storing::No => {}
            Storing::First if self.broken => {
                return match step.instead {
                    Some(instead) => self.feed(instead),
                    None => Err(Refusal::new(crate::codes::Code::StoreUnavailable, "broken")),
                };
            }
            Storing::IfPossible if self.broken => {}
            Storing::First | Storing::IfPossible => {
                let record = step.next.record().unwrap();
                let before = self.stored.replace(record.clone());
                if let Some(trail) = &mut self.trail {
                    trail.push((self.now, before, record));
                }
                self.writes += 1;
            }
        }
        self.machine = step.next;
        let mut count = false;
        for output in step.outputs {
            match &output {
                Output::CreateAsset(id) => {
                    assert!(self.asset.is_none(), "create-only");
                    self.asset = Some(*id);
                }
                Output::ReplaceAsset(id) => self.asset = Some(*id),
                Output::CountUsage => count = true,
                _ => {}
            }
            self.outputs.push(output);
        }
        let answer = match step.then {
            Some(then) => self.feed(then),
            None => step.answer,
        };
        if count && self.counts {
            let usage = self.usage;
            let _ = self.feed(Event::Usage(usage));
        }
        answer
    }

    /// Runs all timers that are due.
    pub fn settle(&mut self) {
        for _ in 0..50 {
            if self.machine.poll_timeout(self.now) > Duration::ZERO {
                return;
            }
            let _ = self.feed(Event::Timer);
        }
        panic!("timers do not come to rest");
    }

    /// Lets both clocks advance in one stride.
    pub fn pass(&mut self, seconds: u64) {
        self.now.boot += Duration::from_secs(seconds);
        self.shift_wall(i64::try_from(seconds).unwrap());
        let _ = self.feed(Event::Timer);
        self.settle();
    }

    /// Lets both clocks advance, timer by timer.
    pub fn run(&mut self, seconds: u64) {
        let end = self.now.boot + Duration::from_secs(seconds);
        while self.now.boot < end {
            let wait = self.machine.poll_timeout(self.now).min(end - self.now.boot);
            let wait = wait.max(Duration::from_millis(1));
            self.now.boot += wait;
            self.now.wall += wait;
            let _ = self.feed(Event::Timer);
        }
    }

    /// Sets the wall clock by so many seconds.
    pub fn shift_wall(&mut self, seconds: i64) {
        self.now.wall += jiff::SignedDuration::from_secs(seconds);
    }

    pub fn set_mode(&mut self, mode: Mode) {
        let settings = Settings { mode, ..self.machine.settings().clone() };
        self.feed(Event::Settings(Box::new(settings))).unwrap();
    }

    pub fn state(&self, slot: Slot) -> Option<u8> {
        self.machine.context().state(slot).map(State::number)
    }

    pub fn states(&self) -> [Option<u8>; 4] {
        Slot::ALL.map(|slot| self.state(slot))
    }

    pub fn trusted(&self) -> u64 {
        self.machine.trusted(self.now)
    }

    pub fn ruling(&self) -> (Verdict, Reason) {
        let ruling = self.machine.ruling(self.now);
        (ruling.verdict, ruling.reason)
    }

    pub fn class(&self) -> Class {
        self.machine.class()
    }

    pub fn download(&mut self) -> String {
        match self.feed(Event::Get { slot: None }).unwrap() {
            Answer::Report { text } => text,
            other => panic!("{other:?}"),
        }
    }

    /// A receipt for the report of `slot`, signed now.
    pub fn receipt(&self, slot: Slot) -> String {
        signed(&self.receipt_claims(slot))
    }

    /// Its claims.
    pub fn receipt_claims(&self, slot: Slot) -> Value {
        let context = self.machine.context();
        let report = context.reports.get(slot).unwrap();
        json!({
            "iss": "F5 Inc.",
            "jti": Uuid::from_u128(report.id.as_u128() ^ 0xffff).to_string(),
            "iat": self.trusted(),
            "digitalAssetID": context.digital_asset_id.unwrap().to_string(),
            "reportID": report.id.to_string(),
            "reportSha256": report.sha256,
            "licenseJti": report.license_jti.to_string(),
            "entitlement": {"orderType": report.order_type.as_str()},
            "ack": "final",
        })
    }

    /// The last report that was sent upstream.
    pub fn upload(&self) -> Option<&Upload> {
        self.outputs.iter().rev().find_map(|output| match output {
            Output::Upload(upload) => Some(upload),
            _ => None,
        })
    }

    pub fn told(&self, notice: Notice) -> usize {
        let is =
            |output: &&Output| matches!(output, Output::Event { notice: n, .. } if *n == notice);
        self.outputs.iter().filter(is).count()
    }

    /// A JWT of this type with its own `jti`.
    pub fn jwt(order: &str, number: u128) -> String {
        let jti = Uuid::from_u128(LICENSE.as_u128() + number).to_string();
        signed(&with(with(claims(), "f5_order_type", json!(order)), "jti", json!(jti)))
    }
}

/// Both clocks, the wall at `seconds` since 1970.
pub fn at(seconds: u64) -> Now {
    Now {
        wall: Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap(),
        boot: Duration::from_secs(1_000),
    }
}
