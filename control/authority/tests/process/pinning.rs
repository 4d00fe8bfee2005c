//! What an authority remembers of an asset, from one process to the next.

use serde_json::json;
use uuid::Uuid;

use crate::rig::{Authority, Cluster, Request, claims, text};

/// LIC-440, by hand: each `ack` is a process of its own, so all it knows is in the ledger.
#[test]
fn a_report_that_contradicts_an_earlier_one_is_refused_over_processes() {
    let authority = Authority::new();
    let jwt = authority.license("paid");
    let mut cluster = Cluster::new(1);
    let first = cluster.telemetry(&jwt);
    let report = cluster.sign(&first);
    authority.ok(&["ack"], &report);
    cluster.acknowledged(&report);

    let refused = |report: &str, code: &str| {
        let output = authority.run(&["ack"], report);
        assert_eq!(output.status.code(), Some(1), "{code}");
        assert!(output.stdout.is_empty(), "{code}");
        let said = text(&output.stderr);
        assert!(said.contains(code), "{code}: {said}");
    };
    let good = cluster.telemetry(&jwt);
    // Another key for the same asset.
    let thief = Cluster { key: Cluster::new(2).key, ..Cluster::new(1) };
    refused(&thief.sign(&good), "report_key_changed");
    // A broken chain, and one that does not rise.
    let with = |member: &str, value: serde_json::Value| {
        let mut telemetry = good.clone();
        telemetry[member] = value;
        cluster.sign(&telemetry)
    };
    refused(&with("previousReportSha256", json!(null)), "report_chain");
    refused(&with("previousReportSha256", json!(spk_jose::name::sha256("x"))), "report_chain");
    refused(&with("sequence", json!(1)), "report_sequence");
    // The first report again with other content.
    let mut altered = first.clone();
    altered["usage"]["cpu_count"] = json!(1);
    refused(&cluster.sign(&altered), "report_altered");
    // No report at all, and one whose signature does not fit.
    refused("x", "report_malformed");
    refused(&jwt, "report_algorithm");
    let (head, _) = report.rsplit_once('.').unwrap();
    refused(&format!("{head}.{}", "A".repeat(86)), "report_signature");

    // In the same bytes the first one is acknowledged again, and the chain goes on.
    authority.ok(&["ack"], &report);
    authority.ok(&["ack"], &cluster.sign(&good));
}

/// LIC-440: a trial is one asset's, over processes and in a race of both.
#[test]
fn a_trial_serves_the_first_asset_only_also_when_two_report_at_once() {
    let authority = Authority::new();
    let server = authority.serve(&[]);
    for order_type in ["eval", "freemium"] {
        let jwt = authority.license(order_type);
        let outcomes: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..=6)
                .map(|number| {
                    let (jwt, address) = (&jwt, server.address);
                    scope.spawn(move || {
                        let mut cluster = Cluster::new(number);
                        cluster.asset = Uuid::new_v4();
                        let report = cluster.report(jwt);
                        Request::report(cluster.asset, jwt, &report).send(address).status
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let taken = outcomes.iter().filter(|status| **status == 200).count();
        let refused = outcomes.iter().filter(|status| **status == 409).count();
        assert_eq!((taken, refused), (1, 5), "{order_type}: {outcomes:?}");
        let output = authority.run(&["ack"], &Cluster::new(9).report(&jwt));
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("trial_taken"), "{}", text(&output.stderr));
    }
    // A paid licence serves every cluster of its owner.
    let jwt = authority.license("paid");
    for number in 10..13 {
        authority.ok(&["ack"], &Cluster::new(number).report(&jwt));
    }
}

/// The ledger is whole after a kill at any moment, and knows all that was answered.
#[test]
fn what_was_answered_is_remembered_after_a_kill() {
    let authority = Authority::new();
    let jwt = authority.license("paid");
    let mut cluster = Cluster::new(1);
    for _ in 0..8 {
        let server = authority.serve(&[]);
        let report = cluster.report(&jwt);
        let answer = Request::report(cluster.asset, &jwt, &report).send(server.address);
        assert_eq!(answer.status, 200, "{answer:?}");
        drop(server);
        cluster.acknowledged(&report);
        // The same bytes come again as after a lost answer.
        let again = authority.ok(&["ack"], &report);
        assert_eq!(claims(&again)["reportSha256"], json!(spk_jose::name::sha256(&report)));
    }
}

#[test]
fn a_cluster_that_lost_its_state_begins_anew_after_a_person_said_so() {
    let authority = Authority::new();
    let jwt = authority.license("paid");
    let (mut cluster, lost) = (Cluster::new(1), Cluster::new(1));
    let report = cluster.report(&jwt);
    authority.ok(&["ack"], &report);
    cluster.acknowledged(&report);
    let anew = lost.report(&jwt);
    assert_eq!(authority.run(&["ack"], &anew).status.code(), Some(1));
    authority.ok(&["restart", &cluster.asset.to_string()], "");
    authority.ok(&["ack"], &anew);
    let unknown = authority.run(&["restart", &Uuid::new_v4().to_string()], "");
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn a_broken_or_later_ledger_is_left_alone_and_named() {
    let authority = Authority::new();
    let jwt = authority.license("paid");
    let path = authority.state().join("ledger.json");
    for broken in ["{", r#"{"version":9}"#] {
        std::fs::write(&path, broken).unwrap();
        let output = authority.run(&["ack"], &Cluster::new(1).report(&jwt));
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("ledger.json"), "{}", text(&output.stderr));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), broken);
    }
}
