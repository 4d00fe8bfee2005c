//! From a licence to traffic, in each mode, as operators do it (suite `licence`).

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use netlab::{Process, ProcessBuilder};
use serde_json::Value;
use spk_tests::{
    certificates,
    lab::monotonic,
    licence::OrderType,
    policy::{FLOWS, RESTORED, Site, SiteOptions},
    poll, programs,
};
use tempfile::TempDir;

/// Path of the telemetry endpoint.
const TELEMETRY: &str = "/ee/v1/entitlements/telemetry";
/// Start of the authority, or of the CWC's next try to reach it.
const START: Duration = Duration::from_secs(15);

/// The licensing service, and who stands before it.
struct Service {
    folder: TempDir,
    certificates: PathBuf,
    running: Vec<Process>,
}

impl Service {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let certificates = certificates::Authority::new().unwrap().rest(folder.path()).unwrap();
        Self { folder, certificates, running: Vec::new() }
    }

    fn ca(&self) -> PathBuf {
        self.certificates.join("ca_root.crt")
    }

    /// Values of `cpcl-config-cm` for a CWC that reports by itself.
    fn config(&self, mode: &str, port: u16) -> String {
        let ca = fs::read_to_string(self.ca()).unwrap().replace('\n', "\\n");
        format!(
            "mode: {mode}, upstream_url: \"https://localhost:{port}{TELEMETRY}\", upstream_ca: \"{ca}\""
        )
    }

    /// Starts `spk-authority serve` beside the site's node.
    fn serve(&mut self, site: &Site, name: &str, port: u16, more: &[&str]) {
        let state = site.lab.folder().join("licence/authority");
        let mut command = site.node().command(programs::program("spk-authority").unwrap());
        command.arg("--state").arg(state).args(["serve", "--listen", &format!("127.0.0.1:{port}")]);
        command.arg("--cert").arg(self.certificates.join("server.crt"));
        command.arg("--key").arg(self.certificates.join("server.key")).args(more);
        let mut process = ProcessBuilder::new(name, command).spawn(self.folder.path()).unwrap();
        process.wait_for(START, |log| log.contains("https://")).unwrap();
        self.running.push(process);
    }

    fn log(&self) -> String {
        self.running.iter().map(Process::log).collect()
    }
}

fn nothing_passed(site: &Site) {
    site.judged("block", "not_activated", RESTORED).unwrap();
    assert!(site.tmm_runs(), "waiting is no error");
    assert_eq!(site.licence()["halted"], false);
    assert_eq!(site.stream.answered(), 0, "a datagram passed without a licence");
}

/// Prints and checks how long it took from a receipt to the verdict and from it to traffic.
fn traffic_in_time(site: &Site, receipt: Duration) {
    let first = site.stream.flows(FLOWS).unwrap();
    let allowed = site.event("LicenseAllowed").unwrap();
    println!(
        "F6: {:?} from receipt to verdict, F7: {:?} from verdict to the first datagram",
        allowed.saturating_sub(receipt),
        first.saturating_sub(allowed)
    );
    assert!(first.saturating_sub(receipt) <= FLOWS, "{:?}", first.saturating_sub(receipt));
    assert!(allowed.saturating_sub(receipt) <= Duration::from_secs(1), "F6");
    assert!(first.saturating_sub(allowed) <= Duration::from_secs(1), "F7");
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap().trim().to_owned()
}

/// LIC-410, LIC-656 (by broadcast), LIC-838 (first half; the lost bus is in `licence_time`), LIC-940: the
/// seed's walk with curl, on RabbitMQ.
#[test]
fn the_walk_of_the_seed_with_curl_lets_traffic_flow() {
    let Some(site) = Site::start(SiteOptions::of(OrderType::Paid).on_broker()).unwrap() else {
        return;
    };
    let mut service = Service::new();
    service.serve(&site, "authority", 8443, &[]);
    nothing_passed(&site);

    let status = || -> Value { serde_json::from_str(&site.curl(&["/status"]).unwrap()).unwrap() };
    let before = status()["InitialRegistrationStatus"].clone();
    assert_eq!(before["LicenseDetails"]["EntitlementType"], "paid");
    assert_eq!(before["LicenseStatus"]["State"], "Config Report Ready to Download");
    let asset = before["LicenseDetails"]["DigitalAssetID"].as_str().unwrap().to_owned();
    let report = site.curl(&["/report"]).unwrap();
    assert_eq!(
        status()["InitialRegistrationStatus"]["LicenseStatus"]["State"],
        "Config Report Downloaded"
    );

    let header = |name: &str, value: &str| format!("{name}: {value}");
    let bearer =
        header("Authorization", &format!("Bearer {}", text(&site.lab.node.licence().jwt())));
    let (ca, url) = (service.ca(), format!("https://localhost:8443{TELEMETRY}"));
    let answer = site
        .node()
        .run(
            "curl",
            [
                "-sS",
                "--fail-with-body",
                "--location",
                "--request",
                "POST",
                &url,
                "--cacert",
                &ca.to_string_lossy(),
                "--header",
                &header("F5-DigitalAssetId", &asset),
                "--header",
                "User-Agent: SPK",
                "--header",
                "F5-TraceId: 350df9a4-4703-11ec-bbe5-acde48001122",
                "--header",
                "Content-Type: application/json",
                "--header",
                &bearer,
                "--data-raw",
                &report,
            ],
        )
        .unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let manifest = answer["manifest"].as_str().unwrap();
    assert_eq!(site.stream.answered(), 0, "a datagram passed without a receipt");

    let receipt = monotonic();
    site.curl(&["/receipt", "--data-raw", manifest]).unwrap();
    traffic_in_time(&site, receipt);
    let after = status()["Status"].clone();
    assert_eq!(after["LicenseStatus"]["State"], "Verification Complete");
    assert_eq!(after["LicenseDetails"]["DigitalAssetID"], asset.as_str());
    site.judged("allow", "verified", START).unwrap();
    drop(service);
    site.lab.finish().unwrap();
}

/// LIC-411: the three commands, on the local bus.
#[test]
fn three_commands_of_spkctl_let_traffic_flow() {
    let Some(site) = Site::start(SiteOptions::of(OrderType::Eval)).unwrap() else { return };
    let mut service = Service::new();
    service.serve(&site, "authority", 8443, &[]);
    nothing_passed(&site);
    let spkctl = programs::program("spkctl").unwrap();
    let spkctl = spkctl.to_string_lossy();
    let file = |name: &str| service.folder.path().join(name).to_string_lossy().into_owned();
    let (report, manifest) = (file("report.json"), file("receipt.json"));
    let state = site.state().to_string_lossy().into_owned();
    let run =
        |arguments: &[&str]| site.node().run(&spkctl, ["license"].iter().chain(arguments)).unwrap();
    run(&["report", "-o", &report, "--state-dir", &state]);
    let jwt = site.lab.node.licence().jwt().to_string_lossy().into_owned();
    let url = format!("https://localhost:8443{TELEMETRY}");
    let ca = service.ca().to_string_lossy().into_owned();
    run(&[
        "submit",
        &report,
        "--jwt-file",
        &jwt,
        "-o",
        &manifest,
        "--url",
        &url,
        "--upstream-ca",
        &ca,
    ]);
    assert_eq!(site.stream.answered(), 0, "a datagram passed without a receipt");
    let receipt = monotonic();
    run(&["receipt", &manifest, "--state-dir", &state]);
    traffic_in_time(&site, receipt);
    let status = run(&["status", "--state-dir", &state]);
    assert!(status.contains("Verification Complete"), "{status}");
    drop(service);
    site.lab.finish().unwrap();
}

/// LIC-215: connected.
#[test]
fn connected_site_activates_itself_with_one_post() {
    let mut service = Service::new();
    let config = service.config("connected", 8443);
    let options = SiteOptions { config, ..SiteOptions::of(OrderType::Paid).on_broker() };
    let Some(site) = Site::start(options).unwrap() else { return };
    nothing_passed(&site);
    service.serve(&site, "authority", 8443, &[]);
    site.stream.flows(RESTORED).unwrap();
    let events = text(&site.state().join("cwc/events.jsonl"));
    assert!(events.contains("\"reason\":\"LicenseReportReady\""), "{events}");
    let log = service.log();
    assert_eq!(log.matches("report acknowledged").count(), 1, "{log}");
    assert!(!log.contains("refused"), "{log}");
    drop(service);
    site.lab.finish().unwrap();
}

/// LIC-420: through a licence manager, which signs nothing.
#[test]
fn mediated_site_activates_itself_with_the_authoritys_own_receipt() {
    let mut service = Service::new();
    let config = service.config("mediated", 8444);
    let options = SiteOptions { config, ..SiteOptions::of(OrderType::Eval).on_broker() };
    let Some(site) = Site::start(options).unwrap() else { return };
    nothing_passed(&site);
    let ca = service.ca().to_string_lossy().into_owned();
    service.serve(&site, "authority", 8443, &[]);
    let upstream = format!("https://localhost:8443{TELEMETRY}");
    service.serve(
        &site,
        "llm",
        8444,
        &["--role", "llm", "--upstream", &upstream, "--upstream-ca", &ca],
    );
    site.stream.flows(RESTORED).unwrap();
    let status = site.curl(&["/status"]).unwrap();
    assert!(status.contains("Verification Complete"), "{status}");
    let log = service.log();
    assert_eq!(log.matches("report forwarded").count(), 1, "{log}");
    assert_eq!(log.matches("report acknowledged").count(), 1, "{log}");
    poll::hold("the trial is verified", START, || site.is("allow", "verified")).unwrap();
    drop(service);
    site.lab.finish().unwrap();
}
