//! What takes three minutes by the real clock: lost contact, and no contact for a month's end.
//!
//! One test, as all its sites wait side by side: each has a network, a CWC, a broker of its own.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use spk_tests::{
    lab::monotonic,
    licence::OrderType,
    outage,
    policy::{FLOWS, QUIET, RESTORED, Site, SiteOptions},
    poll,
};

/// No statement for this long is a loss: 3 × 60 s + 3 s.
const LOSS: Duration = Duration::from_secs(183);
/// Latest block after a loss (F5).
const LATEST: Duration = Duration::from_secs(188);
/// Longest wait for it: the last statement may be young.
const PATIENCE: Duration = Duration::from_secs(200);
/// Both ends of a bus that was long away try again at least this often.
const RECONNECT: Duration = Duration::from_secs(45);
/// A statement's time is in whole seconds, so that the loss may be seen up to one earlier.
const ROUNDING: Duration = Duration::from_secs(1);

/// What a row does with its site.
type Row = fn(&mut Site, &Barrier) -> Result<()>;

/// Waits for the block of a lost contact; it must come in time, with `loss` as the threshold.
fn lost(site: &Site, loss: Duration) -> Result<Duration> {
    let heard = site.heard().context("nothing was heard")?;
    let wait = (heard + loss).saturating_sub(ROUNDING).saturating_sub(monotonic());
    let end = Instant::now() + wait;
    poll::hold("the first heartbeats are missed", PATIENCE, || {
        Instant::now() >= end || site.licence()["verdict"] != "allow"
    })?;
    ensure!(Instant::now() >= end, "blocked before its time: {}", site.licence());
    let last = site.blocked("comms_lost", PATIENCE)?;
    let block = site.event("LicenseBlocked").context("no event")?.saturating_sub(heard);
    println!(
        "F5: blocked {block:?} after the last statement, last datagram {:?}",
        last.saturating_sub(heard)
    );
    ensure!(block + ROUNDING >= loss && block <= loss + (LATEST - LOSS), "blocked after {block:?}");
    // The gate's lease ends as well, but not long before the verdict.
    ensure!(last.saturating_sub(heard) + ROUNDING * 2 >= loss, "traffic ended early");
    Ok(block)
}

/// Waits for traffic after a loss; the verdict must follow the contact within a second.
fn restored(site: &Site) -> Result<()> {
    site.recovered(RECONNECT)?;
    let at = |reason: &str| site.event(reason).with_context(|| format!("no event {reason}"));
    let took = at("LicenseAllowed")?.saturating_sub(at("CwcContactRestored")?);
    ensure!(took <= Duration::from_secs(1), "allowed {took:?} after the contact was back");
    Ok(())
}

/// LIC-606 (its replicas come with `kube`), LIC-650, LIC-836: trial, broker killed.
fn trial_without_broker(site: &mut Site, begin: &Barrier) -> Result<()> {
    begin.wait();
    site.kill_broker();
    lost(site, LOSS)?;
    site.start_broker()?;
    restored(site)
}

/// LIC-729 (on RabbitMQ, with an override): trial, network cut, lost after two heartbeats.
fn trial_without_network(site: &mut Site, begin: &Barrier) -> Result<()> {
    begin.wait();
    let port = site.lab.broker.as_ref().context("no broker")?.port();
    outage::cut(site.node(), port)?;
    lost(site, Duration::from_secs(123))?;
    outage::heal(site.node())?;
    restored(site)
}

/// F5 with the CWC killed: trial, local bus.
fn trial_without_cwc(site: &mut Site, begin: &Barrier) -> Result<()> {
    begin.wait();
    site.outage.down(&site.state())?;
    lost(site, LOSS)?;
    site.outage.up()?;
    restored(site)
}

/// LIC-817
fn trial_without_anybody(site: &mut Site, begin: &Barrier) -> Result<()> {
    begin.wait();
    let renewed = site.heard().context("nothing was heard")?;
    site.lab.node.end();
    site.outage.down(&site.state())?;
    site.kill_broker();
    let last = site.stream.silent(QUIET * 4, PATIENCE)?.saturating_sub(renewed);
    println!("G12: last datagram {last:?} after the last renewal");
    ensure!(last.abs_diff(LOSS) <= Duration::from_secs(1), "the gate closed after {last:?}");
    ensure!(site.tmm_runs(), "the TMM ended");
    Ok(())
}

/// LIC-624 (its bus is the local one): a trial's Controller returns without a latch and without a CWC.
fn trial_with_a_new_controller(site: &mut Site, begin: &Barrier) -> Result<()> {
    begin.wait();
    let pid = site.lab.node.tmm_pid(0)?;
    let renewed = site.heard().context("nothing was heard")?;
    site.outage.down(&site.state())?;
    site.lab.node.end();
    let restart = monotonic();
    site.lab.node.launch(&site.lab.topology.node)?;
    site.judged("unknown", "unknown", FLOWS)?;
    let lease = (renewed + LOSS).saturating_sub(monotonic());
    let end = Instant::now() + lease.saturating_sub(Duration::from_secs(10));
    poll::hold("traffic flows on leases", PATIENCE, || {
        Instant::now() >= end || !site.is("unknown", "unknown") || site.licence()["halted"] == true
    })?;
    ensure!(Instant::now() >= end, "judged before its time: {}", site.licence());
    site.unharmed("Controller restarted without a latch")?;
    ensure!(site.lab.node.tmm_pid(0)? == pid, "the TMM was restarted");
    site.blocked("comms_lost", PATIENCE)?;
    let block = site.event("LicenseBlocked").context("no event")?.saturating_sub(restart);
    ensure!(block + ROUNDING >= LOSS && block <= LATEST + RESTORED, "blocked after {block:?}");
    site.outage.up()?;
    site.recovered(RECONNECT)
}

/// LIC-607 (a loss of three minutes for the hour, over a month's end), LIC-623, LIC-627, LIC-818: paid,
/// without broker and CWC.
fn paid_without_anybody(site: &mut Site, begin: &Barrier) -> Result<()> {
    begin.wait();
    site.kill_broker();
    site.outage.down(&site.state())?;
    site.outage.clock("+32d")?;
    site.judged("warn", "comms_lost", PATIENCE)?;
    ensure!(site.event("LicenseWarning").is_some(), "no warning was given");
    site.unharmed("neither broker nor CWC")?;

    // The Controller goes and comes, with its latch and without.
    let latch = site.state().join("vault/spk-license-latch/latch.jws");
    for lose in [false, true] {
        site.lab.node.end();
        if lose {
            std::fs::remove_file(&latch)?;
        }
        site.lab.node.launch(&site.lab.topology.node)?;
        poll::hold("the latch allows", FLOWS, || site.licence()["verdict"] == "allow")?;
        poll::hold("the latch is stored", FLOWS, || latch.exists())?;
        site.unharmed("Controller restarted")?;
    }

    // All three, and the TMM with its cache.
    let tmm = site.lab.node.tmm_pid(0)?;
    site.lab.node.end();
    spk_tests::licence::kill(tmm)?;
    poll::hold("the TMM is gone", FLOWS, || !site.tmm_runs())?;
    std::fs::remove_dir_all(site.state().join("cache"))?;
    site.stream.silent(QUIET, RESTORED)?;
    site.lab.node.launch(&site.lab.topology.node)?;
    site.stream.flows(RESTORED)?;
    ensure!(site.curl(&["/status"]).is_err(), "a CWC runs");
    site.stream.lost();

    site.start_broker()?;
    site.outage.up()?;
    poll::hold("the CWC is heard", RECONNECT, || site.heard().is_some())?;
    site.unharmed("broker and CWC came back a month later")
}

/// LIC-838: waiting is no error, a lost bus is; and LIC-606's like for a licence that was never active.
fn waiting_without_broker(site: &mut Site, begin: &Barrier) -> Result<()> {
    begin.wait();
    site.judged("block", "not_activated", RESTORED)?;
    ensure!(site.licence()["halted"] == false && site.tmm_runs(), "{}", site.licence());
    site.kill_broker();
    site.blocked("comms_lost", PATIENCE)?;
    site.start_broker()?;
    site.judged("block", "not_activated", RECONNECT)?;
    poll::hold("the TMM runs again", RESTORED, || site.tmm_runs() && site.lab.tables().is_ok())?;
    ensure!(site.stream.answered() == 0, "a packet passed");
    site.lab.activate()?;
    site.stream.flows(FLOWS).map(drop)
}

/// The rows; each says which.
#[test]
fn contact_that_is_lost_stops_every_trial_in_time_and_no_production() {
    use OrderType::{Eval, Paid};
    let local = SiteOptions::of;
    let broker = |order| SiteOptions::of(order).on_broker();
    let two = SiteOptions { config: String::from("missed_heartbeats: \"2\""), ..broker(Eval) };
    let rows: [(&str, SiteOptions, bool, Row); 7] = [
        ("trial, broker killed", broker(Eval), true, trial_without_broker),
        ("trial, network cut", two, true, trial_without_network),
        ("trial, CWC killed", local(Eval), true, trial_without_cwc),
        ("trial, all killed", broker(Eval), true, trial_without_anybody),
        ("trial, Controller restarted", local(Eval), true, trial_with_a_new_controller),
        ("paid, all killed", broker(Paid), true, paid_without_anybody),
        ("unactivated, broker killed", broker(Eval), false, waiting_without_broker),
    ];
    let only = std::env::var("SPK_ROW").unwrap_or_default();
    let rows: Vec<_> = rows.into_iter().filter(|row| row.0.contains(&only)).collect();
    let start = |(name, options, active, row): (&'static str, SiteOptions, bool, Row)| {
        let site = if active { Site::active(options) } else { Site::start(options) };
        Some((name, site.with_context(|| name.to_owned()).unwrap()?, row))
    };
    // All at once they would wait for each other.
    let sites: Vec<_> = thread::scope(|scope| {
        let (first, second): (Vec<_>, Vec<_>) =
            rows.into_iter().enumerate().partition(|(place, _)| place % 2 == 0);
        let each = |half: Vec<(usize, _)>| {
            scope.spawn(move || {
                half.into_iter().filter_map(|(_, row)| start(row)).collect::<Vec<_>>()
            })
        };
        let halves = [each(first), each(second)];
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    let begin = Barrier::new(sites.len());
    let failed: Vec<String> = thread::scope(|scope| {
        let begin = &begin;
        let threads: Vec<_> = sites
            .into_iter()
            .map(|(name, mut site, row)| {
                let started = Instant::now();
                scope.spawn(move || {
                    let outcome = row(&mut site, begin).and_then(|()| {
                        drop(site.stream);
                        if name.contains("all killed") { Ok(()) } else { site.lab.finish() }
                    });
                    println!("{name}: {:?} after {:?}", outcome.is_ok(), started.elapsed());
                    outcome.err().map(|error| format!("{name}: {error:#}"))
                })
            })
            .collect();
        let ended = threads.into_iter().map(|thread| thread.join());
        ended
            .filter_map(|ended| ended.unwrap_or_else(|_| Some(String::from("a row panicked"))))
            .collect()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}
