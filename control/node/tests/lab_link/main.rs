//! The conversation with a TMM: what is sent when, over real mTLS, to a TMM without packets.

mod double;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use double::{Double, Told};
use spk_controller::Target;
use spk_controller::core::News;
use spk_controller::link::statements::{GateOrder, Statement};
use spk_controller::link::{self, LinkContext};
use spk_entitlement::{Authority, Class, LeaseKey, Occasion, Reason, Verdict};
use spk_node::certs;
use spk_node::layout::Layout;
use spk_plan::{Inputs, Plan};
use spk_serving::tls::{Alpn, Tls, TlsFiles};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

const UID: &str = "2f1b6c1e-6f0e-4b52-9d0a-6d6b8f6f3a11";

struct Rig {
    _dir: tempfile::TempDir,
    layout: Layout,
    authority: Authority,
    orders: watch::Sender<GateOrder>,
    /// Of each connection, the newest last.
    statements: Vec<mpsc::UnboundedSender<Statement>>,
    jwks: String,
    plans: watch::Sender<Option<Arc<Plan>>>,
    plan: Arc<Plan>,
    news: mpsc::Receiver<(u16, News)>,
    context: LinkContext,
    link: Option<JoinHandle<()>>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            link.abort();
        }
    }
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        certs::ensure(&layout, SystemTime::now()).unwrap();
        let key = LeaseKey::from_seed([3; 32]).unwrap();
        let jwks = key.jwks().to_json();
        let authority = Authority::new(key, uuid::Uuid::from_u128(1), 1);
        let (orders, gates) = watch::channel(GateOrder::Leave);
        let (plans, plan) = watch::channel(None);
        let (tell, news) = mpsc::channel(1000);
        let files = TlsFiles::grpc(layout.root(), certs::CONTROLLER);
        let tls = Tls::follow(files, Alpn::Http2, Arc::new(|_| {}));
        let context = LinkContext {
            namespace: String::from("spk-core"),
            tls,
            plans: plan,
            gates,
            news: tell,
        };
        let plan = Arc::new(spk_plan::plan(&Inputs::default()));
        Self {
            _dir: dir,
            layout,
            authority,
            orders,
            statements: Vec::new(),
            jwks,
            plans,
            plan,
            news,
            context,
            link: None,
        }
    }

    fn double(&self, address: &str, uid: &str, refusals: usize) -> Double {
        let address = address.parse().unwrap();
        Double::start(address, self.layout.root(), uid, &self.jwks, refusals)
    }

    fn connect(&mut self, address: std::net::SocketAddr) {
        let target =
            Target { index: 1, pod: String::from("f5-tmm-1"), uid: UID.to_owned(), address };
        let (statements, taken) = mpsc::unbounded_channel();
        self.statements.push(statements);
        self.link = Some(tokio::spawn(link::keep(target, self.context.clone(), taken)));
    }

    fn send(&self, statement: Statement) {
        self.statements.last().unwrap().send(statement).unwrap();
    }

    async fn connected(&mut self) {
        self.news_until(|news| matches!(news, News::Connected { .. })).await;
    }

    /// A lease for the newest nonce, as the CWC signs it.
    async fn lease(&mut self) -> Statement {
        let (answer, nonce) = oneshot::channel();
        self.send(Statement::Hello(answer));
        let tmm = tokio::time::timeout(Duration::from_secs(5), nonce).await.unwrap().unwrap();
        assert_eq!(tmm.pod, UID);
        Statement::Open(self.authority.open("spk-core", UID, &tmm.nonce.0, &allow()))
    }

    async fn open(&mut self) {
        let lease = self.lease().await;
        self.send(lease);
    }

    fn renew(&mut self) {
        let renewal = self.authority.renew(&allow());
        self.send(Statement::Renew(renewal));
    }

    fn close(&self, generation: u64) {
        self.orders.send_replace(GateOrder::Close { reason: Reason::CommsLost, generation });
    }

    /// Delivers a plan of a higher revision than before.
    fn push(&mut self) -> u64 {
        let mut manifest = None;
        let tag = self.plan.generation() + 1;
        let text = format!(
            "apiVersion: k8s.f5net.com/v1\nkind: F5SPKVlan\n\
             metadata: {{name: a, namespace: spk-core, generation: {tag}}}\n\
             spec: {{name: a, interfaces: [\"1.1\"], tag: {tag}, selfip_v4s: [10.0.0.1], prefixlen_v4: 8}}\n"
        );
        for document in spk_api::load(&text, "default").unwrap() {
            let spk_api::load::Content::Resource(found) = document.content else { panic!() };
            manifest = Some(*found);
        }
        let inputs = Inputs {
            objects: manifest.into_iter().collect(),
            tmm_namespace: String::from("spk-core"),
            memory: self.plan.memory.clone(),
            ..Inputs::default()
        };
        self.plan = Arc::new(spk_plan::plan(&inputs));
        self.plans.send_replace(Some(Arc::clone(&self.plan)));
        self.plan.generation()
    }

    async fn news_until(&mut self, wanted: impl Fn(&News) -> bool) -> News {
        let wait = async {
            loop {
                let (_, news) = self.news.recv().await.unwrap();
                if wanted(&news) {
                    return news;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(5), wait).await.expect("no such news")
    }
}

fn applied(told: &[Told]) -> Vec<u64> {
    let of = |told: &Told| match told {
        Told::Apply(spec) => {
            assert_eq!(spec.replica, 1);
            Some(spec.generation)
        }
        Told::Hello | Told::Lease(_) | Told::Close => None,
    };
    told.iter().filter_map(of).collect()
}

/// OPS-137
#[tokio::test]
async fn newest_snapshot_follows_each_connection_within_a_second() {
    let mut rig = Rig::new();
    let first = rig.double("127.0.0.1:0", UID, 0);
    let address = first.address;
    rig.connect(address);
    let generation = rig.push();
    first.until(|told| applied(told) == [generation]).await;
    drop(first);
    rig.news_until(|news| matches!(news, News::Lost { .. })).await;
    let newer = rig.push();
    let second = rig.double(&address.to_string(), UID, 0);
    let begun = Instant::now();
    second.until(|told| applied(told) == [newer]).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

/// OPS-320 (N1, the Controller's end): the next connection shows the new certificate within 10 s, and
/// the open one lives on.
#[tokio::test]
async fn new_certificate_is_shown_at_the_next_connection_and_the_open_one_lives_on() {
    let mut rig = Rig::new();
    let first = rig.double("127.0.0.1:0", UID, 0);
    rig.connect(first.address);
    let generation = rig.push();
    first.until(|told| applied(told) == [generation]).await;
    let path = rig.layout.certs().join(format!("{}.crt", certs::CONTROLLER));
    assert_eq!(first.peer(), der(&path));
    fs::remove_file(&path).unwrap();
    assert_eq!(certs::renew(&rig.layout, SystemTime::now()).unwrap(), [certs::CONTROLLER]);
    let mut changes = rig.context.tls.changes();
    let changed = changes.wait_for(|changes| *changes > 1);
    tokio::time::timeout(Duration::from_secs(10), changed).await.expect("not taken").unwrap();

    let second = rig.double("127.0.0.1:0", UID, 0);
    rig.connect(second.address);
    second.until(|told| applied(told) == [generation]).await;
    assert_eq!(second.peer(), der(&path));
    assert_ne!(second.peer(), first.peer());
    let next = rig.push();
    for double in [&first, &second] {
        let told = double.until(|told| applied(told) == [generation, next]).await;
        assert_eq!(told.iter().filter(|told| **told == Told::Hello).count(), 1);
    }
}

fn der(path: &std::path::Path) -> Vec<u8> {
    let pem = fs::read(path).unwrap();
    x509_parser::pem::parse_x509_pem(&pem).unwrap().1.contents
}

#[tokio::test]
async fn snapshots_that_come_while_one_is_under_way_are_skipped_but_for_the_last() {
    let mut rig = Rig::new();
    let double = rig.double("127.0.0.1:0", UID, 0);
    rig.connect(double.address);
    let last = (0..50).map(|_| rig.push()).last().unwrap();
    let told = double.until(|told| applied(told).last() == Some(&last)).await;
    assert!(applied(&told).len() < 50, "{told:?}");
}

#[tokio::test]
async fn refused_snapshot_is_told_and_sent_again() {
    let mut rig = Rig::new();
    let double = rig.double("127.0.0.1:0", UID, 1);
    rig.connect(double.address);
    let generation = rig.push();
    rig.news_until(|news| matches!(news, News::Applied(reply) if !reply.accepted)).await;
    rig.news_until(|news| matches!(news, News::Applied(reply) if reply.accepted)).await;
    assert_eq!(applied(&double.told()), [generation, generation]);
}

/// Codes of the leases that it was given; an accepted one has none.
fn leases(told: &[Told]) -> Vec<&str> {
    let codes = told.iter().filter_map(|told| match told {
        Told::Lease(code) => Some(code.as_str()),
        Told::Hello | Told::Apply(_) | Told::Close => None,
    });
    codes.collect()
}

fn allow() -> Occasion {
    Occasion {
        class: Class::Trial,
        verdict: Verdict::Allow,
        reason: String::from("verified"),
        iat: 1_800_000_000,
        ttl: 183,
        ends: None,
    }
}

/// Licensing.md §12.4: configuration, then gate.
#[tokio::test]
async fn lease_is_delivered_after_the_configuration_only() {
    let mut rig = Rig::new();
    let double = rig.double("127.0.0.1:0", UID, 0);
    rig.connect(double.address);
    rig.news_until(|news| matches!(news, News::Report(_))).await;
    rig.open().await;
    // A second one replaces it while it waits.
    rig.open().await;
    assert_eq!(leases(&double.told()), Vec::<&str>::new());
    rig.push();
    let told = double.until(|told| !leases(told).is_empty()).await;
    let apply = told.iter().position(|told| matches!(told, Told::Apply(_))).unwrap();
    let lease = told.iter().position(|told| *told == Told::Lease(String::new())).unwrap();
    assert!(apply < lease, "{told:?}");
    assert_eq!(leases(&told).len(), 1);
}

#[tokio::test]
async fn configuration_that_was_withheld_is_delivered_again_before_the_next_lease() {
    let mut rig = Rig::new();
    let double = rig.double("127.0.0.1:0", UID, 0);
    rig.connect(double.address);
    rig.connected().await;
    rig.push();
    rig.open().await;
    double.until(|told| leases(told) == [""]).await;
    rig.plans.send_replace(None);
    rig.close(1);
    double.until(|told| told.last() == Some(&Told::Close)).await;
    rig.orders.send_replace(GateOrder::Leave);
    rig.open().await;
    let told = double.until(|told| told.last() == Some(&Told::Hello)).await;
    assert_eq!(leases(&told), [""]);
    rig.plans.send_replace(Some(Arc::clone(&rig.plan)));
    let told = double.until(|told| leases(told) == ["", ""]).await;
    assert_eq!(applied(&told).len(), 2);
}

/// Licensing.md §12.3 (the time is measured in suite `licence`): a close needs no configuration, also
/// when it was ordered before the TMM came, and what waited is dropped by it.
#[tokio::test]
async fn close_is_delivered_at_once_and_drops_what_waited() {
    let mut rig = Rig::new();
    rig.close(1);
    let double = rig.double("127.0.0.1:0", UID, 0);
    rig.connect(double.address);
    double.until(|told| told.last() == Some(&Told::Close)).await;
    rig.orders.send_replace(GateOrder::Leave);
    rig.open().await;
    rig.close(2);
    rig.news_until(|news| matches!(news, News::Closed(_))).await;
    let generation = rig.push();
    rig.news_until(|news| matches!(news, News::Applied(reply) if reply.generation == generation))
        .await;
    assert_eq!(leases(&double.told()), Vec::<&str>::new());
}

#[tokio::test]
async fn renewal_needs_no_nonce_and_a_refused_one_is_told() {
    let mut rig = Rig::new();
    let double = rig.double("127.0.0.1:0", UID, 0);
    rig.connect(double.address);
    rig.connected().await;
    rig.push();
    rig.open().await;
    double.until(|told| leases(told) == [""]).await;
    let hellos = |told: &[Told]| told.iter().filter(|told| **told == Told::Hello).count();
    let before = hellos(&double.told());
    rig.renew();
    let told = double.until(|told| leases(told) == ["", ""]).await;
    assert_eq!(hellos(&told), before);
    double.close_gate();
    rig.renew();
    rig.news_until(|news| *news == News::RenewalRefused).await;
    assert_eq!(leases(&double.told()), ["", "", "lease_gate_closed"]);
}

#[tokio::test]
async fn gate_that_closes_by_itself_is_told() {
    let mut rig = Rig::new();
    let double = rig.double("127.0.0.1:0", UID, 0);
    rig.connect(double.address);
    rig.connected().await;
    rig.push();
    rig.open().await;
    rig.news_until(|news| matches!(news, News::Gate(gate) if gate.gate == 1)).await;
    double.close_gate();
    rig.news_until(|news| matches!(news, News::Gate(gate) if gate.gate == 0)).await;
}

#[tokio::test]
async fn other_pod_at_the_address_is_sent_nothing() {
    let mut rig = Rig::new();
    let double = rig.double("127.0.0.1:0", "another", 0);
    rig.push();
    rig.connect(double.address);
    let News::Lost { cause } = rig.news_until(|news| matches!(news, News::Lost { .. })).await
    else {
        panic!()
    };
    assert!(cause.contains("pod another answers"), "{cause}");
    assert!(double.told().iter().all(|told| *told == Told::Hello), "{:?}", double.told());
}

#[tokio::test]
async fn tmm_of_another_ca_is_sent_nothing() {
    let mut rig = Rig::new();
    let foreign = Rig::new();
    let double = foreign.double("127.0.0.1:0", UID, 0);
    rig.push();
    rig.connect(double.address);
    rig.news_until(|news| matches!(news, News::Lost { .. })).await;
    assert_eq!(double.told(), []);
}
