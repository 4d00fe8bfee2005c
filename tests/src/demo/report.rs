//! The report and the table at the end: counters of the TMM, nothing made up.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Result;
use serde_json::{Value, json};

use super::Outcome;
use crate::tmm::Tables;

/// Drops that the demo itself provokes, or that any network brings.
const EXPECTED: &[(&str, &str)] = &[
    ("license_closed", "expected: the licence was not active yet, or blocked"),
    ("vlan_unknown", "expected: a peer's first words before its port was in a VLAN"),
    ("answer_rate", "expected: more stray segments than are worth an answer"),
    ("multicast_ignored", "expected: neighbours' group chatter"),
    ("tcp_stray", "expected: late segments after the gate opened again"),
    ("sctp_stray", "expected: late chunks of an association"),
    ("not_for_us_mac", "expected: the bridge floods before it has learnt"),
    ("no_listener", "expected: a peer's second address, which no listener serves"),
];

/// All steps so far.
#[derive(Debug, Default)]
pub struct Report(Vec<Value>);

impl Report {
    /// Adds a step.
    pub fn add(&mut self, step: &str, ok: bool, outcome: &Outcome) {
        let mut figures = outcome.figures.clone();
        figures.insert("text".into(), outcome.text.clone().into());
        self.0.push(json!({"step": step, "ok": ok, "figures": figures}));
    }

    /// Adds the counters of the TMM as a step of their own.
    pub fn count(&mut self, tables: &Tables) {
        let drops: serde_json::Map<String, Value> =
            tables.all_drops().into_iter().map(|(reason, n)| (reason, n.into())).collect();
        self.0.push(json!({
            "step": "counters",
            "ok": true,
            "figures": {
                "drops": drops,
                "virtual_servers": tables.rows("virtual_server_stat"),
                "pool_members": tables.rows("pool_member_stat"),
            },
        }));
    }

    /// Writes `report.json` into `folder`.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.0)?;
        Ok(fs::write(folder.join("report.json"), text + "\n")?)
    }
}

/// What the TMM counted, as a table.
pub fn table(tables: &Tables) -> String {
    let mut text = String::from("\nWhat the TMM counted (its own counters, by gRPC):\n");
    let line = |text: &mut String, cells: [&str; 4]| {
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "  {:<34} {:>12} {:>14} {:>14}", cells[0], cells[1], cells[2], cells[3]);
    };
    line(&mut text, ["virtual server", "connections", "packets in", "packets out"]);
    let cell = |row: &std::collections::BTreeMap<String, String>, name: &str| {
        row.get(name).cloned().unwrap_or_default()
    };
    for row in tables.rows("virtual_server_stat") {
        line(
            &mut text,
            [
                &cell(&row, "name"),
                &cell(&row, "clientside.tot_conns"),
                &cell(&row, "clientside.pkts_in"),
                &cell(&row, "clientside.pkts_out"),
            ],
        );
    }
    line(&mut text, ["pool member", "connections", "bytes in", "bytes out"]);
    for row in tables.rows("pool_member_stat") {
        let name =
            format!("{} {} {}", cell(&row, "pool_name"), cell(&row, "addr"), cell(&row, "port"));
        line(
            &mut text,
            [
                &name,
                &cell(&row, "serverside.tot_conns"),
                &cell(&row, "serverside.bytes_in"),
                &cell(&row, "serverside.bytes_out"),
            ],
        );
    }
    line(&mut text, ["drops by reason", "packets", "", ""]);
    for (reason, packets) in tables.all_drops() {
        let why = EXPECTED.iter().find(|(known, _)| *known == reason).map_or("", |(_, why)| why);
        let _ = writeln!(text, "  {reason:<34} {packets:>12}  {why}");
    }
    text
}

/// Where to go from here.
pub fn outlook() -> String {
    String::from(
        "\nYour own resources: put the YAML you would `kubectl apply` into a directory, name it in a
node.yaml (`spk-node example` prints one) and start `spk-node run --config node.yaml`.
`spkctl validate -f FILE` says before what of it would be refused, and why.

Not in this build yet; each is refused by name when set to something else than its default:
  F5SPKVlan           bonded, bond_mode, cmp_hash, pod_hash                     (step engine)
  F5SPKIngressTCP     snat SRC_TRANS_SNATPOOL, persistence, connectionLimit, rateLimit,
                      allowSourceLists, synCookies ALWAYS, looseInit, looseClose (engine)
  F5SPKIngressUDP     the same, and datagramLb                                  (engine)
  F5SPKIngressNGAP    messageLoadBalancing true, sctp                            (telco)
                      clientSideMultihoming, alternateAddressList               (engine)
  F5SPKEgress         snatType SRC_TRANS_SNATPOOL, allowSourceLists             (engine)
                      dnsNat46*, maxDNS46TTL, dnsCacheName, nat64*, dns64Enabled (egress64)
                      pseudoCNIConfig                                            (csrc)
  all ingress kinds   routeAdvertisement SELECTIVE                              (routing)
  whole kinds         F5SPKSnatpool, F5SPKAddressList, F5SPKPortList, F5SPKDnscache,
                      F5SPKIngressEgressUDP, -GTP, -HTTP2, -Diameter",
    )
}
