//! The policy of licensing.md §9, row by row, with real packets (suite `licence`).
//!
//! What needs three minutes of silence on the bus is in `licence_time`.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;
use spk_tests::{
    cwc::{Cwc, FAKETIME},
    lab::monotonic,
    licence::{self, Licence, OrderType},
    node::is_true,
    policy::{QUIET, RESTORED, Site, SiteOptions, alive},
    poll, programs,
};

/// How long a condition that the CWC sees may take until the Controller judges by it (LIC-655).
const SOON: Duration = Duration::from_secs(5);
/// The supervisor's pause and the start of a CWC.
const RESTART: Duration = Duration::from_secs(40);
/// Restarts of the CWC; the soak has 100.
const RESTARTS: u32 = 5;

fn number(name: &str, usual: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Nothing may change for this long.
fn stays(site: &Site, verdict: &str, reason: &str) {
    let end = Instant::now() + Duration::from_secs(3);
    let changed = poll::until("it stays", SOON, || {
        let licence = site.licence();
        let other = licence["verdict"] != verdict || licence["reason"] != reason;
        (other || Instant::now() > end).then_some(other)
    });
    assert!(!changed.unwrap(), "{}", site.licence());
}

/// Gives the CWC keys that do not hold its licence's, or the right ones again.
fn give_keys(site: &Site, keys: &str) {
    fs::write(site.lab.node.licence().jwks(), keys).unwrap();
    let copy = site.state().join("cwc/config/cpcl-key-cm/jwt.key");
    poll::hold("the CWC has the keys", SOON, || {
        fs::read_to_string(&copy).is_ok_and(|held| held == keys)
    })
    .unwrap();
}

fn other_keys(site: &Site) -> String {
    let program = programs::program("spk-authority").unwrap();
    let folder = site.lab.folder().join("other");
    let other = Licence::issue(&folder, OrderType::Eval, &program).unwrap();
    // It signs with a key of the same name.
    fs::read_to_string(other.jwks()).unwrap()
}

/// Sets the CWC's clock and restarts it, as forward steps count only then.
fn step(site: &Site, offset: &str) {
    site.outage.clock(offset).unwrap();
    site.outage.restart(&site.state()).unwrap();
}

fn report(site: &Site, path: &str) -> String {
    poll::until("the report is ready", SOON, || site.curl(&[path]).ok()).unwrap()
}

/// The authority's receipt of `report`; its clock is off like the CWC's.
fn acknowledge(site: &Site, report: &str, offset: &str) -> String {
    let mut child = Command::new(programs::program("spk-authority").unwrap())
        .arg("--state")
        .arg(site.lab.folder().join("licence/authority"))
        .arg("ack")
        .env("LD_PRELOAD", FAKETIME)
        .env("FAKETIME", offset)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), report.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A receipt of the site's own authority, but for a report of another cluster.
fn foreign_receipt(site: &Site) -> String {
    let licence = site.lab.node.licence();
    let jwt =
        licence.call(&["issue", "--type", "eval", "--cat", "lab", "--days", "90"], None).unwrap();
    // Beside the site's own CWC its port is taken.
    site.lab
        .client()
        .enter(|| {
            let mut other = Cwc::new(OrderType::Eval).unwrap();
            let keys = fs::read_to_string(licence.jwks()).unwrap();
            other.put("config/cpcl-key-cm/jwt.key", &keys).unwrap();
            other.put("config/cpcl-config-cm/jwt", jwt.trim()).unwrap();
            other.start().unwrap();
            other.await_slot("license", 7).unwrap();
            licence.call(&["ack"], Some(&other.report().unwrap())).unwrap().trim().to_owned()
        })
        .unwrap()
}

/// Lets a month pass, hands a wrong receipt in; gives the right one.
fn bad_receipt(site: &Site) -> String {
    let foreign = foreign_receipt(site);
    step(site, "+40d");
    let report = report(site, "/report");
    let refused = site.curl(&["/receipt", "--data-raw", &foreign]).unwrap_err();
    assert!(format!("{refused:#}").contains("422"), "{refused:#}");
    acknowledge(site, &report, "+40d")
}

fn conns(site: &Site) -> u64 {
    site.lab.tables().unwrap().sum("virtual_server_stat", "clientside.tot_conns")
}

/// Applies an object that was not there, and waits until it is programmed (LIC-626).
fn new_object(site: &Site, number: u16) {
    let text = fs::read_to_string(programs::samples().join("echo.yaml"));
    let text = text.unwrap_or_else(|_| sample("F5SPKIngressUDP"));
    let new = text
        .replace("metadata: {name: echo,", &format!("metadata: {{name: warned-{number},"))
        .replace("destinationPort: 7007", &format!("destinationPort: {}", 7100 + number));
    assert_ne!(text, new);
    let file = format!("warned-{number}.yaml");
    site.lab.node.write(&file, &new).unwrap();
    site.lab
        .node
        .await_status(&file, "programmed", |status| is_true(status, "Programmed"))
        .unwrap();
}

/// The sample of UDP `echo`.
fn sample(kind: &str) -> String {
    let files = spk_tests::samples::files().unwrap();
    let texts = files.iter().map(|path| fs::read_to_string(path).unwrap());
    texts
        .into_iter()
        .find(|text| text.contains(&format!("kind: {kind}\n")) && text.contains("name: echo,"))
        .unwrap()
}

/// LIC-612, LIC-617, LIC-622 (trial), LIC-625 (a few restarts here, 100 in the soak), LIC-652, LIC-655: what
/// stops a trial and what does not.
#[test]
fn a_trial_stops_at_each_error_and_runs_again_after_it() {
    // A broker keeps what a CWC says at its start for a Controller that reconnects.
    let options = SiteOptions::of(OrderType::Eval).on_broker();
    let Some(site) = Site::active(options).unwrap() else { return };
    site.outage.clock("-59m").unwrap();
    stays(&site, "allow", "verified");
    site.unharmed("59 minutes back").unwrap();
    site.outage.clock("-61m").unwrap();
    site.blocked("clock_rolled_back", SOON).unwrap();
    site.outage.clock("+0").unwrap();
    site.recovered(SOON).unwrap();
    site.stream.lost();

    let (good, other) =
        (fs::read_to_string(site.lab.node.licence().jwks()).unwrap(), other_keys(&site));
    give_keys(&site, &other);
    stays(&site, "allow", "verified");
    site.unharmed("other keys, no restart").unwrap();
    site.outage.restart(&site.state()).unwrap();
    poll::hold("the trial is blocked", RESTART, || site.licence()["verdict"] == "block").unwrap();
    let reason = site.licence()["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("jwt_") || reason == "jwks_kid_missing", "{reason}");
    site.blocked(&reason, SOON).unwrap();
    give_keys(&site, &good);
    site.recovered(RESTART).unwrap();
    site.stream.lost();

    let receipt = bad_receipt(&site);
    poll::hold("the trial is blocked", RESTART, || site.licence()["verdict"] == "block").unwrap();
    let reason = site.licence()["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("receipt_"), "{reason}");
    site.blocked(&reason, SOON).unwrap();
    site.curl(&["/receipt", "--data-raw", &receipt]).unwrap();
    site.recovered(Duration::from_secs(1)).unwrap();
    site.lab.finish().unwrap();
}

/// LIC-605, LIC-622 (paid), LIC-626, and §9's column of production: nothing interrupts it, each warning is
/// given, and what is new is configured.
#[test]
fn production_loses_nothing_whatever_goes_wrong() {
    let options =
        SiteOptions { validity: Some("48h"), ..SiteOptions::of(OrderType::Paid).on_broker() };
    let Some(mut site) = Site::active(options).unwrap() else { return };
    site.unharmed("the beginning").unwrap();
    let (tmm, before) = (site.lab.node.tmm_pid(0).unwrap(), conns(&site));
    let mut number = 0;
    let mut warned = |site: &Site, reason: &str, limit: Duration| {
        poll::hold(reason, limit, || {
            let licence = site.licence();
            licence["verdict"] == "warn"
                && licence["reason"].as_str().is_some_and(|word| word.starts_with(reason))
        })
        .unwrap_or_else(|error| panic!("{error:#}: {}", site.licence()));
        assert!(site.event("LicenseWarning").is_some());
        number += 1;
        new_object(site, number);
        site.unharmed(reason).unwrap();
    };
    site.outage.clock("-61m").unwrap();
    warned(&site, "clock_rolled_back", SOON);
    site.outage.clock("+0").unwrap();

    let (good, other) =
        (fs::read_to_string(site.lab.node.licence().jwks()).unwrap(), other_keys(&site));
    give_keys(&site, &other);
    site.outage.restart(&site.state()).unwrap();
    warned(&site, "jw", RESTART);
    give_keys(&site, &good);

    // Expired for a year.
    step(&site, "+367d");
    warned(&site, "expired", RESTART);
    step(&site, "+0");
    site.unharmed("the wall is right again").unwrap();

    // Every process but the TMM, in any order.
    site.lab.node.end();
    licence::kill(licence::cwc_pid(&site.state()).unwrap()).unwrap();
    site.lab.node.launch(&site.lab.topology.node).unwrap();
    poll::hold("the latch allows", SOON, || site.licence()["verdict"] == "allow").unwrap();
    site.unharmed("Controller and CWC restarted").unwrap();
    assert_eq!(site.lab.node.tmm_pid(0).unwrap(), tmm, "the TMM was restarted");
    assert_eq!(conns(&site), before, "a connection was made anew");
    site.lab.finish().unwrap();
}

/// LIC-625: a few restarts here, 100 with `SPK_RESTARTS=100` in the soak.
#[test]
fn restarts_of_the_cwc_lose_nothing() {
    for order in [OrderType::Eval, OrderType::Paid] {
        let Some(site) = Site::active(SiteOptions::of(order)).unwrap() else { return };
        for _ in 0..number("SPK_RESTARTS", RESTARTS) {
            site.outage.restart(&site.state()).unwrap();
        }
        poll::hold("the CWC answers", RESTART, || site.curl(&["/status"]).is_ok()).unwrap();
        stays(&site, "allow", "verified");
        site.unharmed("CWC restarted").unwrap();
        site.lab.finish().unwrap();
    }
}

/// When the licence ends, by the clock of the stream.
fn ends(site: &Site) -> Duration {
    let status: Value = serde_json::from_str(&site.curl(&["/status"]).unwrap()).unwrap();
    let date = status["Status"]["LicenseDetails"]["LicenseExpiryDate"].as_str().unwrap().to_owned();
    let date = SystemTime::from(date.parse::<jiff::Timestamp>().unwrap());
    monotonic() + date.duration_since(SystemTime::now()).unwrap()
}

/// LIC-604, LIC-651
#[test]
fn an_expired_trial_stops_at_once_until_it_is_paid() {
    let options = SiteOptions { validity: Some("45s"), ..SiteOptions::of(OrderType::Eval) };
    let Some(site) = Site::active(options).unwrap() else { return };
    let end = ends(&site);
    let last = site.blocked("expired", Duration::from_secs(60)).unwrap();
    let block = site.event("LicenseBlocked").unwrap();
    println!(
        "expired: blocked {:?}, last datagram {:?} after the instant",
        block.saturating_sub(end),
        last.saturating_sub(end)
    );
    assert!(block >= end && block - end <= Duration::from_secs(1), "{block:?} {end:?}");
    assert!(last.abs_diff(end) <= Duration::from_secs(1), "{last:?} {end:?}");

    let paid = site
        .lab
        .node
        .licence()
        .call(&["issue", "--type", "paid", "--cat", "lab", "--days", "365"], None)
        .unwrap();
    site.curl(&["/reactivate", "--data-raw", paid.trim()]).unwrap();
    let report = report(&site, "/report?slot=switch");
    let receipt = acknowledge(&site, &report, "+0");
    site.curl(&["/receipt", "--data-raw", &receipt]).unwrap();
    site.recovered(Duration::from_secs(1)).unwrap();
    poll::hold("it is latched", SOON, || site.licence()["class"] == "production").unwrap();
    site.lab.finish().unwrap();
}

/// LIC-604: nobody has to say it.
#[test]
fn an_expired_trial_stops_without_a_cwc() {
    let options = SiteOptions { validity: Some("45s"), ..SiteOptions::of(OrderType::Eval) };
    let Some(site) = Site::active(options).unwrap() else { return };
    let end = ends(&site);
    site.outage.down(&site.state()).unwrap();
    let last = site.stream.silent(QUIET * 2, Duration::from_secs(60)).unwrap();
    println!("expired without a CWC: last datagram {:?} from the instant", last.abs_diff(end));
    assert!(last.abs_diff(end) <= Duration::from_secs(1), "{last:?} {end:?}");
    site.lab.finish().unwrap();
}

/// A TMM started as its supervisor did; dropping it ends it.
struct ByHand(Child);

impl ByHand {
    fn again(site: &Site, pid: i32) -> Self {
        let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_owned()).unwrap();
        let line = read("cmdline");
        let words: Vec<String> =
            line.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(text).collect();
        let environment = read("environ");
        let pairs: Vec<String> = environment.split(|byte| *byte == 0).map(text).collect();
        licence::kill(pid).unwrap();
        poll::hold("the TMM is gone", SOON, || !alive(pid)).unwrap();
        // What was on its way arrives.
        site.stream.silent(Duration::from_millis(100), SOON).unwrap();
        let log = fs::File::create(site.lab.folder().join("by-hand.log")).unwrap();
        let mut command = site.node().command(&words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log);
        command.envs(pairs.iter().filter_map(|pair| pair.split_once('=')));
        Self(command.spawn().unwrap())
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        // `ip netns exec` becomes the program. It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// LIC-824
#[test]
fn a_crashed_tmm_returns_by_itself_in_production_and_waits_closed_in_trial() {
    for order in [OrderType::Paid, OrderType::Eval] {
        let Some(mut site) = Site::active(SiteOptions::of(order)).unwrap() else { return };
        let pid = site.lab.node.tmm_pid(0).unwrap();
        site.lab.node.end();
        site.outage.down(&site.state()).unwrap();
        let again = ByHand::again(&site, pid);
        let started = monotonic();
        if order == OrderType::Paid {
            let first = site.stream.flows(RESTORED).unwrap();
            println!("G15: traffic {:?} after the start", first.saturating_sub(started));
        } else {
            poll::hold("the TMM serves", RESTORED, || site.lab.tables().is_ok()).unwrap();
            assert!(site.stream.flows(SOON).is_err(), "a trial's TMM opened its gate by itself");
        }
        drop(again);
    }
}
