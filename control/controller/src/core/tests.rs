//! When plans are made and delivered, and what statuses say of it.

use spk_api::load::Content;
use spk_api::status::MemberState;
use spk_entitlement::client::Judged;
use tmm_rpc::proto;

use super::*;

const VLAN: &str = "apiVersion: k8s.f5net.com/v1
kind: F5SPKVlan
metadata: {name: external, namespace: spk-core}
spec: {name: external, interfaces: [\"1.1\"], tag: 100, selfip_v4s: [198.51.100.11], prefixlen_v4: 24}
";

struct Rig {
    core: Core,
    begin: Instant,
    millis: u64,
    kept: Vec<Vec<u8>>,
    pushed: Vec<Arc<Plan>>,
    events: Vec<EventRecord>,
    others: Vec<Output>,
}

impl Rig {
    fn new(replicas: u16, before: Remembered) -> Self {
        let settings = CoreSettings {
            tmm_namespace: String::from("spk-core"),
            watched: BTreeSet::from([String::from("spk-apps")]),
            cluster_uid: String::from("2f1b6c1e-6f0e-4b52-9d0a-6d6b8f6f3a10"),
            deployment: String::from("f5ingress-f5ingress"),
        };
        let mut rig = Self {
            core: Core::new(settings, before, false),
            begin: Instant::now(),
            millis: 0,
            kept: Vec::new(),
            pushed: Vec::new(),
            events: Vec::new(),
            others: Vec::new(),
        };
        let targets = (0..replicas).map(|index| Target {
            index,
            pod: format!("f5-tmm-{index}"),
            uid: format!("uid-{index}"),
            address: "127.0.0.4:8750".parse().unwrap(),
        });
        rig.input(Input::Replicas(targets.collect()));
        rig
    }

    /// The same with a licence that allows.
    fn allowed(replicas: u16, before: Remembered) -> Self {
        let mut rig = Self::new(replicas, before);
        rig.judge(Judged::Allow, Reason::Verified);
        // What that told is the subject of other tests.
        rig.events.clear();
        rig
    }

    fn now(&self) -> Now {
        Now {
            monotonic: self.begin + Duration::from_millis(self.millis),
            wall: Timestamp::UNIX_EPOCH + Duration::from_millis(self.millis),
        }
    }

    fn input(&mut self, input: Input) {
        self.core.handle_input(input, self.now());
        self.drain();
    }

    fn facts(&mut self, text: &str) {
        let mut facts = FactSet::default();
        for document in spk_api::load(text, "default").unwrap() {
            let Content::Resource(mut manifest) = document.content else { panic!("{text}") };
            manifest.meta.generation = Some(1);
            facts.manifests.push(*manifest);
        }
        self.input(Input::Facts(facts));
    }

    fn news(&mut self, replica: u16, news: News) {
        self.input(Input::News { replica, news });
    }

    /// Moves the clock, running each timer at its time.
    fn pass(&mut self, millis: u64) {
        let end = self.millis + millis;
        while let Some(due) = self.core.poll_timeout() {
            let due = u64::try_from((due - self.begin).as_millis()).unwrap();
            if due > end {
                break;
            }
            self.millis = self.millis.max(due);
            self.core.handle_timeout(self.now());
            self.drain();
        }
        self.millis = end;
    }

    fn drain(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Keep(record) => self.kept.push(record),
                Output::Push(plan) => {
                    assert!(!self.kept.is_empty(), "a plan was output before its memory");
                    self.pushed.push(plan);
                }
                Output::Event(event) => self.events.push(event),
                output => self.others.push(output),
            }
        }
    }

    fn acknowledge(&mut self, replica: u16) {
        let generation = self.core.plan().generation();
        let reply = proto::ApplyReply {
            generation,
            accepted: true,
            running: generation,
            ..proto::ApplyReply::default()
        };
        self.news(replica, News::Applied(reply));
    }

    fn programmed(&self) -> (String, String) {
        let status = self.core.statuses().values().next().unwrap();
        let condition = status.conditions.iter().find(|c| c.type_ == "Programmed").unwrap();
        (condition.reason.clone(), condition.message.clone())
    }
}

fn connected(boot: &str) -> News {
    let gate = proto::GateReply::default();
    News::Connected { boot_id: boot.to_owned(), gate, latch: String::new() }
}

fn vlan(tag: u16) -> String {
    VLAN.replace("tag: 100", &format!("tag: {tag}"))
}

#[test]
fn nothing_is_delivered_before_the_first_facts() {
    let mut rig = Rig::allowed(1, Remembered::default());
    rig.pass(10_000);
    assert!(rig.pushed.is_empty());
    rig.facts(VLAN);
    rig.pass(99);
    assert!(rig.pushed.is_empty());
    rig.pass(1);
    assert_eq!(rig.pushed.len(), 1);
}

/// OPS-138.
#[test]
fn hundred_changes_in_a_second_make_at_most_five_snapshots_and_the_last_counts() {
    let mut rig = Rig::allowed(1, Remembered::default());
    for tag in 1..=100 {
        rig.facts(&vlan(tag));
        rig.pass(10);
    }
    assert!((1..=5).contains(&rig.pushed.len()), "{}", rig.pushed.len());
    rig.pass(1000);
    let last = rig.pushed.last().unwrap().spec_for(0);
    assert_eq!(last.vlans[0].tag, 100);
    let generations: Vec<u64> = rig.pushed.iter().map(|plan| plan.generation()).collect();
    assert!(generations.is_sorted_by(|a, b| a < b), "{generations:?}");
}

#[test]
fn facts_that_change_nothing_are_not_delivered_again() {
    let mut rig = Rig::allowed(1, Remembered::default());
    rig.facts(VLAN);
    rig.pass(1000);
    rig.facts(VLAN);
    rig.pass(1000);
    assert_eq!(rig.pushed.len(), 1);
}

#[test]
fn programmed_follows_every_replica_and_names_the_silent_one() {
    let mut rig = Rig::allowed(2, Remembered::default());
    rig.facts(VLAN);
    rig.pass(1000);
    assert_eq!(rig.programmed().0, "SelfIpExhausted");
    let two = VLAN.replace("[198.51.100.11]", "[198.51.100.11, 198.51.100.12]");
    rig.facts(&two);
    rig.pass(1000);
    assert_eq!(rig.programmed().0, "Pending");
    for replica in [0, 1] {
        rig.news(replica, connected("a"));
        rig.acknowledge(replica);
    }
    rig.pass(1000);
    assert_eq!(
        rig.programmed(),
        ("Programmed".into(), "CR config sent to all grpc endpoints".into())
    );
    rig.news(1, News::Lost { cause: String::from("gone") });
    rig.pass(1000);
    let (reason, message) = rig.programmed();
    assert_eq!(reason, "DeliveryFailed");
    assert!(message.contains("f5-tmm-1: gone"), "{message}");
    rig.news(1, connected("b"));
    rig.pass(1000);
    assert_eq!(rig.programmed().0, "Pending");
    rig.acknowledge(1);
    rig.pass(1000);
    assert_eq!(rig.programmed().0, "Programmed");
}

#[test]
fn refused_snapshot_shows_every_error_and_heals_with_the_next() {
    let mut rig = Rig::allowed(1, Remembered::default());
    rig.facts(VLAN);
    rig.pass(1000);
    rig.news(0, connected("a"));
    let error = |path: &str| proto::ApplyError {
        path: path.to_owned(),
        code: String::from("x"),
        text: String::from("is wrong"),
    };
    rig.news(
        0,
        News::Applied(proto::ApplyReply {
            generation: rig.core.plan().generation(),
            errors: vec![error("vlans[0].tag"), error("routes[1]")],
            ..proto::ApplyReply::default()
        }),
    );
    rig.pass(1000);
    let (reason, message) = rig.programmed();
    assert_eq!(reason, "DeliveryFailed");
    assert!(message.contains("vlans[0].tag: is wrong; routes[1]: is wrong"), "{message}");
    rig.acknowledge(0);
    rig.pass(1000);
    assert_eq!(rig.programmed().0, "Programmed");
}

#[test]
fn interface_that_is_down_or_missing_is_a_device_error_with_its_cause() {
    let mut rig = Rig::allowed(1, Remembered::default());
    rig.facts(VLAN);
    rig.pass(1000);
    rig.news(0, connected("a"));
    rig.acknowledge(0);
    let interface =
        |up| proto::InterfaceReport { name: String::from("1.1"), up, ..Default::default() };
    let report = |up| proto::Report { interfaces: vec![interface(up)], ..Default::default() };
    rig.news(0, News::Report(report(false)));
    rig.pass(1000);
    let (reason, message) = rig.programmed();
    assert_eq!(reason, "DeviceError");
    assert!(message.starts_with("f5-tmm-0 1.1: link is down; "), "{message}");
    rig.news(0, News::Report(report(true)));
    rig.pass(1000);
    assert_eq!(rig.programmed().0, "Programmed");
}

#[test]
fn restart_goes_on_with_the_stored_generation_and_delivers_at_once() {
    let mut first = Rig::allowed(1, Remembered::default());
    first.facts(&vlan(1));
    first.pass(1000);
    first.facts(&vlan(2));
    first.pass(1000);
    let memory = Remembered::read(first.kept.last().unwrap()).unwrap();
    let mut second = Rig::allowed(1, memory);
    second.facts(&vlan(2));
    second.pass(1000);
    assert_eq!(second.pushed.len(), 1);
    assert_eq!(second.pushed[0].generation(), first.core.plan().generation());
    assert_eq!(second.pushed[0].spec_for(0), first.core.plan().spec_for(0));
}

#[test]
fn refused_edit_leaves_the_last_accepted_contents_in_force_also_after_a_restart() {
    let mut rig = Rig::allowed(1, Remembered::default());
    rig.facts(&vlan(7));
    rig.pass(1000);
    rig.facts(&vlan(5000));
    rig.pass(1000);
    assert_eq!(rig.core.plan().spec_for(0).vlans[0].tag, 7);
    assert_eq!(rig.programmed().0, "NotAccepted");
    let mut second = Rig::allowed(1, Remembered::read(rig.kept.last().unwrap()).unwrap());
    second.facts(&vlan(5000));
    second.pass(1000);
    assert_eq!(second.core.plan().spec_for(0).vlans[0].tag, 7);
}

#[test]
fn events_are_added_updated_deleted_once_each() {
    let mut rig = Rig::allowed(1, Remembered::default());
    rig.facts(&vlan(1));
    rig.pass(1000);
    rig.facts(&vlan(2));
    rig.pass(1000);
    rig.input(Input::Facts(FactSet::default()));
    rig.pass(1000);
    let reasons: Vec<&str> = rig.events.iter().map(|event| event.reason).collect();
    assert_eq!(reasons, ["Added", "Updated", "Deleted"]);
    assert!(rig.core.statuses().is_empty());
}

#[test]
fn restart_brings_no_events_for_objects_that_stayed_and_one_for_each_that_went() {
    let mut first = Rig::allowed(1, Remembered::default());
    first.facts(VLAN);
    first.pass(1000);
    let record = first.kept.pop().unwrap();
    let mut same = Rig::allowed(1, Remembered::read(&record).unwrap());
    same.facts(VLAN);
    same.pass(1000);
    assert_eq!(same.events, []);
    let mut gone = Rig::allowed(1, Remembered::read(&record).unwrap());
    gone.input(Input::Facts(FactSet::default()));
    gone.pass(1000);
    let texts: Vec<&str> = gone.events.iter().map(|event| event.text.as_str()).collect();
    assert_eq!(texts, ["F5SPKVlan spk-core/external was deleted"]);
}

#[test]
fn pod_is_ready_once_it_runs_the_newest_configuration() {
    let mut rig = Rig::allowed(1, Remembered::default());
    rig.facts(VLAN);
    rig.pass(1000);
    let ready = |rig: &Rig| {
        let pod = rig.core.pods()[0].clone();
        assert_eq!(pod.annotations[REPLICA_INDEX], "0");
        pod.conditions[0].status.clone()
    };
    assert_eq!(ready(&rig), "False");
    rig.news(0, connected("a"));
    rig.acknowledge(0);
    rig.pass(1000);
    assert_eq!(ready(&rig), "True");
}

#[test]
fn unknown_member_state_is_passed_over_and_known_ones_are_kept() {
    let report = |state: &str| proto::MemberReport {
        pool: String::from("p"),
        address: String::from("10.0.0.1"),
        port: 80,
        state: state.to_owned(),
        reason: String::new(),
        since: 1000,
    };
    let mut facts = ReplicaFacts::default();
    let now = Instant::now();
    let take = |facts: &mut ReplicaFacts, state| {
        let members = vec![report(state)];
        let report = proto::Report { members, ..Default::default() };
        facts.take(News::Report(report), now).len()
    };
    assert_eq!(take(&mut facts, "checking"), 0);
    assert_eq!(take(&mut facts, "up"), 0, "first sight of a member that is up is no news");
    assert_eq!(take(&mut facts, "down"), 1);
    assert_eq!(take(&mut facts, "down"), 0);
    assert_eq!(take(&mut facts, "up"), 1);
    assert_eq!(take(&mut facts, "sideways"), 0);
    let target = Rig::allowed(1, Remembered::default()).core.targets()[0].clone();
    let members = facts.delivery(&target, &Plan::default()).members;
    assert!(members.iter().all(|member| member.state == MemberState::Up));
}

mod licence;
