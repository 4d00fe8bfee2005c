//! One CWC that is killed in each of its steps, and what must hold after each.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use spk_tests::{cwc::Cwc, poll};

/// Random numbers from a seed (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    /// A duration below `limit`.
    fn below(&mut self, limit: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let nanos = u64::try_from(limit.as_nanos()).unwrap().max(1);
        Duration::from_nanos((z ^ (z >> 31)) % nanos)
    }
}

/// What is done when the kill comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// The first start, until the report is there.
    Start,
    /// A report is downloaded, for this slot.
    Download(Slot),
    /// Its receipt is posted.
    Receipt(Slot),
    /// Another licence is posted.
    Switch,
    /// A start a month later: the window ends, its report is built.
    Month,
}

/// Whose report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Slot {
    License,
    Current,
    Switch,
}

impl Slot {
    const fn name(self) -> &'static str {
        match self {
            Self::License => "license",
            Self::Current => "current",
            Self::Switch => "switch",
        }
    }
}

/// Activation, a switch, two months; then a switch again.
const STEPS: [Step; 13] = [
    Step::Start,
    Step::Download(Slot::License),
    Step::Receipt(Slot::License),
    Step::Switch,
    Step::Download(Slot::Switch),
    Step::Receipt(Slot::Switch),
    Step::Month,
    Step::Download(Slot::Current),
    Step::Receipt(Slot::Current),
    Step::Month,
    Step::Download(Slot::Current),
    Step::Receipt(Slot::Current),
    Step::Switch,
];

/// A kill that was survived.
pub struct Kill {
    step: Step,
    at: Duration,
    /// Whether the step was stored before it.
    pub passed: bool,
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, at, passed } = self;
        let word = if *passed { "after" } else { "before" };
        write!(f, "{step:?} killed at {:.1} ms: the state {word}", at.as_secs_f64() * 1e3)
    }
}

/// Says what was done.
pub fn tell(kills: &[Kill], took: Duration) {
    for kill in kills {
        println!("{kill}");
    }
    let passed = kills.iter().filter(|kill| kill.passed).count();
    println!("{} kills in {took:.1?}, {passed} of them after the step was stored", kills.len());
}

/// One CWC and what is known of it.
pub struct World<'a> {
    cwc: Cwc,
    dice: &'a mut Dice,
    days: u32,
    asset: Option<String>,
    /// Receipts that the program has said 200 to, or kept in `context`.
    accepted: usize,
    /// The text of the report in hand, and its receipt.
    report: String,
    receipt: String,
    /// Number of reports built.
    sequence: u64,
    /// How long its last start took.
    starts: Duration,
}

impl<'a> World<'a> {
    pub const fn new(cwc: Cwc, dice: &'a mut Dice) -> Self {
        Self {
            cwc,
            dice,
            days: 0,
            asset: None,
            accepted: 0,
            report: String::new(),
            receipt: String::new(),
            sequence: 0,
            starts: Duration::from_millis(250),
        }
    }

    /// Goes through the steps and is killed once in each, `count` times at most.
    pub fn run(&mut self, count: usize, kills: &mut Vec<Kill>) {
        for step in STEPS.into_iter().take(count) {
            kills.push(self.killed_in(step));
        }
    }

    fn killed_in(&mut self, step: Step) -> Kill {
        match step {
            Step::Start => self.killed_in_start(step),
            Step::Month => {
                self.cwc.kill();
                self.days += 32;
                self.cwc.clock(&format!("+{}d", self.days)).unwrap();
                self.killed_in_start(step)
            }
            Step::Download(slot) => self.killed_in_download(step, slot),
            Step::Receipt(slot) => self.killed_in_receipt(step, slot),
            Step::Switch => self.killed_in_switch(step),
        }
    }

    /// Runs `request` and kills the program at a random moment of it: the answer, and the moment.
    fn kill_during<T: Send>(&mut self, request: impl FnOnce(&Cwc) -> T + Send) -> (T, Duration) {
        // Most of a request is curl's start; how long it takes on this machine now, another tells.
        let began = Instant::now();
        self.cwc.send("GET", "/status", "");
        let at = self.dice.below(2 * began.elapsed());
        let pid = i32::try_from(self.cwc.pid()).unwrap();
        let cwc = &self.cwc;
        let answer = thread::scope(|scope| {
            let asked = scope.spawn(move || request(cwc));
            wait(at);
            let pid = nix::unistd::Pid::from_raw(pid);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
            asked.join().unwrap()
        });
        self.cwc.kill();
        (answer, at)
    }

    fn killed_in_start(&mut self, step: Step) -> Kill {
        let at = self.dice.below(2 * self.starts);
        self.cwc.spawn().unwrap();
        wait(at);
        self.cwc.kill();
        let slot = if step == Step::Start { Slot::License } else { Slot::Current };
        // What was on disk at the kill; a first start may not have come so far.
        let stored = self.cwc.context().ok();
        let passed = stored
            .as_ref()
            .is_some_and(|context| context[slot.name()]["state"].as_u64() == Some(7));
        let asset = std::fs::read_to_string(self.cwc.path("store/digitalassetid")).ok();
        self.again();
        self.cwc.await_slot(slot.name(), 7).unwrap();
        let context = self.cwc.context().unwrap();
        // A report is built once: none is lost, none twice.
        let sequence = context["sequence"].as_u64().unwrap();
        assert_eq!(sequence, self.sequence + 1, "{step:?}");
        self.sequence = sequence;
        if self.asset.is_none() {
            let now = context["digital_asset_id"].as_str().unwrap().to_owned();
            assert!(asset.is_none_or(|asset| asset == now), "{step:?}: another asset");
            self.asset = Some(now);
        }
        self.holds(step);
        Kill { step, at, passed }
    }

    fn killed_in_download(&mut self, step: Step, slot: Slot) -> Kill {
        let (answer, at) = self.kill_during(|cwc| cwc.report());
        self.again();
        let state = self.state(slot);
        let passed = state == Some(10);
        assert!(passed || state == Some(7), "{step:?}: {state:?}");
        self.report = self.cwc.report().unwrap();
        if let Ok(answer) = answer {
            assert!(passed, "{step:?}: handed out and not stored");
            assert_eq!(answer, self.report, "{step:?}: another text");
        }
        assert_eq!(self.state(slot), Some(10));
        self.holds(step);
        Kill { step, at, passed }
    }

    fn killed_in_receipt(&mut self, step: Step, slot: Slot) -> Kill {
        self.receipt = self.cwc.acknowledge_at(&self.report, self.days);
        let receipt = self.receipt.clone();
        let (answer, at) = self.kill_during(|cwc| cwc.send("POST", "/receipt", &receipt).status);
        self.again();
        let accepted = self.count_accepted();
        let passed = accepted == self.accepted + 1;
        assert!(passed || accepted == self.accepted, "{step:?}: {accepted} accepted");
        assert!(passed || answer != 200, "{step:?}: accepted and not stored");
        let after = match slot {
            Slot::License | Slot::Current => Some(12),
            Slot::Switch => None,
        };
        let state = self.state(slot);
        assert_eq!(state, if passed { after } else { Some(10) }, "{step:?}");
        // Once more: accepted only if it was not.
        let reply = self.cwc.send("POST", "/receipt", &receipt);
        assert_eq!(reply.status, if passed { 409 } else { 200 }, "{step:?}: {reply:?}");
        let reply = self.cwc.send("POST", "/receipt", &receipt);
        assert_eq!(reply.status, 409, "{step:?}: {reply:?}");
        self.accepted += 1;
        assert_eq!(self.state(slot), after, "{step:?}");
        self.holds(step);
        Kill { step, at, passed }
    }

    fn killed_in_switch(&mut self, step: Step) -> Kill {
        let days = (self.days + 365).to_string();
        let jwt = self.cwc.issue(&["--type", "ela", "--days", &days]).unwrap();
        let (answer, at) = self.kill_during(|cwc| cwc.send("POST", "/reactivate", &jwt).status);
        self.again();
        let passed = self.state(Slot::Switch).is_some();
        assert!(passed || answer != 200, "{step:?}: accepted and not stored");
        if !passed {
            let reply = self.cwc.send("POST", "/reactivate", &jwt);
            assert_eq!(reply.status, 200, "{step:?}: {reply:?}");
        }
        self.cwc.await_slot("switch", 7).unwrap();
        self.sequence += 1;
        assert_eq!(self.cwc.context().unwrap()["sequence"], self.sequence, "{step:?}");
        self.holds(step);
        Kill { step, at, passed }
    }

    /// What holds after every kill: the asset, the number of accepted receipts, the licence in force.
    fn holds(&self, step: Step) {
        let license = self.cwc.json("/v1/license").unwrap();
        assert_eq!(license["digitalAssetID"].as_str(), self.asset.as_deref(), "{step:?}");
        assert_eq!(self.count_accepted(), self.accepted, "{step:?}");
        assert_eq!(license["active"], self.accepted > 0, "{step:?}");
        assert_eq!(license["error"], Value::Null, "{step:?}");
    }

    fn again(&mut self) {
        let began = Instant::now();
        self.cwc.start().unwrap();
        self.starts = began.elapsed();
        // The first answer may come before the start's own steps are done.
        poll::hold("the licence is read", Duration::from_secs(10), || {
            self.state(Slot::License).is_some_and(|state| state > 2)
        })
        .unwrap();
    }

    fn state(&self, slot: Slot) -> Option<u64> {
        self.cwc.slot(slot.name()).unwrap()
    }

    fn count_accepted(&self) -> usize {
        self.cwc.context().unwrap()["accepted"].as_array().unwrap().len()
    }
}

/// Lets time pass: the moment of a kill is no state that could be awaited.
fn wait(at: Duration) {
    let end = Instant::now() + at;
    thread::sleep(at.saturating_sub(Duration::from_millis(1)));
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}
