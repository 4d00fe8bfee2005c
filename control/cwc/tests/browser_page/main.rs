//! The web page in headless Chromium with a client certificate: narrow and wide, with and without
//! scripts, light and dark. Run by `make test-page`, which installs the browser.
//!
//! With `SPK_PAGE_PICTURES=folder` each page that is looked at is kept there as PNG.

mod chromium;
mod forwarder;

#[path = "../proc_cwc/authority.rs"]
#[allow(dead_code, reason = "proc_cwc uses the rest")]
mod authority;
#[path = "../proc_cwc/client.rs"]
#[allow(dead_code, reason = "proc_cwc uses the rest")]
mod client;
#[path = "../proc_cwc/controller.rs"]
#[allow(dead_code, reason = "proc_cwc uses the rest")]
mod controller;
#[path = "../proc_cwc/rig.rs"]
#[allow(dead_code, reason = "proc_cwc uses the rest")]
mod rig;
#[path = "../proc_cwc/schema.rs"]
mod schema;
#[path = "../proc_cwc/stages.rs"]
#[allow(dead_code, reason = "proc_cwc uses the rest")]
mod stages;

use std::time::Duration;

use serde_json::{Value, json};

use chromium::{Chromium, View};
use forwarder::Forwarder;
use rig::{Rig, eventually};
use stages::Stage;

/// LIC-932, LIC-931: in each stage, without scripts, at 320 px and at 1280 px, nothing is cut off or
/// wider than the window, every text is large enough and reaches the contrast of WCAG AA in both
/// schemes, and the browser asks nobody else and finds no violation of the policy.
#[test]
fn each_stage_is_readable_narrow_and_wide_without_scripts() {
    let mut browser = Chromium::start();
    for stage in Stage::ALL {
        let rig = stage.rig();
        let _cwc = stage.reach(&rig);
        let forwarder = Forwarder::start(&rig);
        for (width, dark) in [(320, false), (320, true), (1280, false), (1280, true)] {
            browser.look(View { width, scripts: false, dark });
            browser.open(&forwarder.url("/"));
            let shade = if dark { "dark" } else { "light" };
            keep_picture(&mut browser, &format!("{stage:?}-{width}-{shade}"));
            let found = browser.value(FAULTS);
            assert_eq!(found, json!([]), "{stage:?}, {width} px, {shade}");
            let counted = browser.value(TEXTS).as_u64().unwrap();
            assert!(counted > 40, "only {counted} texts were looked at");
            let first = browser.value("document.querySelector('h1,h2,h3').innerText");
            assert!(first.as_str().unwrap().starts_with("Traffic"), "{first}");
            nothing_from_elsewhere(&browser, &forwarder);
        }
    }
}

/// LIC-933, LIC-308: the page's own forms pass in a browser without scripts: the report is
/// downloaded, a receipt is refused with its reason, the right one is uploaded, a JWT is pasted.
#[test]
fn an_operator_activates_and_switches_in_the_browser() {
    for scripts in [false, true] {
        let rig = Stage::ReportWaits.rig();
        let _cwc = Stage::ReportWaits.reach(&rig);
        let client = rig.client();
        let forwarder = Forwarder::start(&rig);
        let mut browser = Chromium::start();
        browser.look(View { width: 320, scripts, dark: false });
        browser.open(&forwarder.url("/"));
        assert!(browser.text().contains("Traffic is stopped"));

        browser.press("a[href^='/report']");
        let path = browser.downloads.path().join("report.json");
        eventually(Duration::from_secs(10), "the download", || path.exists());
        let report: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let report = report["report"].as_str().unwrap();
        assert_eq!(client.state(), 10);

        browser.open(&forwarder.url("/"));
        let wrong = authority::receipt_with(report, &json!({ "reportID": uuid::Uuid::new_v4() }));
        choose(&mut browser, &rig, &wrong);
        browser.submit("form[action='/page/receipt'] button");
        let text = browser.text();
        assert!(text.contains("receipt_wrong_report") && text.contains("What to do:"), "{text}");
        keep_picture(&mut browser, "refused-320");
        assert_eq!(browser.value(FAULTS), json!([]));

        choose(&mut browser, &rig, &authority::receipt(report));
        browser.submit("form[action='/page/receipt'] button");
        assert_eq!(client.state(), 12);
        let text = browser.text();
        assert!(text.contains("Traffic may pass"), "{text}");
        assert!(text.contains("The receipt was accepted"), "{text}");
        keep_picture(&mut browser, "accepted-320");
        nothing_from_elsewhere(&browser, &forwarder);

        if browser.value("document.querySelector('details') !== null") == true {
            browser.press("details summary");
        }
        let jwt = authority::jwt("ela");
        browser.value(&format!(
            "document.querySelector(\"form[action='/page/reactivate'] textarea\").value = '{jwt}'; 0"
        ));
        browser.submit("form[action='/page/reactivate'] button");
        let text = browser.text();
        assert!(text.contains("The new license was taken"), "{text}");
        assert_ne!(client.json("/v1/license")["slots"]["switch"], Value::Null);
    }
}

/// The script shows what changes without a hand, within the policy.
#[test]
fn with_scripts_the_page_follows_what_happens() {
    let rig = Stage::Downloaded.rig();
    let _cwc = Stage::Downloaded.reach(&rig);
    let client = rig.client();
    let forwarder = Forwarder::start(&rig);
    let mut browser = Chromium::start();
    browser.look(View { width: 1280, scripts: true, dark: false });
    browser.open(&forwarder.url("/"));
    assert!(browser.text().contains("Traffic is stopped"));
    nothing_from_elsewhere(&browser, &forwarder);
    let receipt = authority::receipt(&client.report());
    assert_eq!(client.post("/receipt", &receipt).status, 200);
    eventually(Duration::from_secs(10), "the new verdict on the page", || {
        browser.text().contains("Traffic may pass")
    });
}

/// Puts a receipt into the form, as a file.
fn choose(browser: &mut Chromium, rig: &Rig, receipt: &str) {
    rig.put("receipt.json", &json!({ "manifest": receipt }).to_string());
    let path = rig.path("receipt.json").display().to_string();
    browser.choose_file("form[action='/page/receipt'] input[type=file]", &path);
}

/// LIC-931: all requests went to the CWC, and the browser reports neither an error nor a violation.
fn nothing_from_elsewhere(browser: &Chromium, forwarder: &Forwarder) {
    let mut requests = 0;
    for event in &browser.events {
        match event["method"].as_str().unwrap_or_default() {
            "Network.requestWillBeSent" => {
                let url = event["params"]["request"]["url"].as_str().unwrap();
                assert!(url.starts_with(&forwarder.url("/")), "{url}");
                requests += 1;
            }
            "Audits.issueAdded" => {
                let issue = event["params"]["issue"]["code"].as_str().unwrap();
                assert_ne!(issue, "ContentSecurityPolicyIssue", "{event}");
            }
            "Log.entryAdded" => {
                let entry = &event["params"]["entry"];
                // The icon that a browser asks for by itself.
                let icon = entry["url"].as_str().is_some_and(|url| url.ends_with("/favicon.ico"));
                assert!(entry["level"] != "error" || icon, "{event}");
            }
            "Runtime.exceptionThrown" => panic!("{event}"),
            _ => {}
        }
    }
    assert!(requests >= 2, "page and style sheet");
}

fn keep_picture(browser: &mut Chromium, name: &str) {
    let picture = browser.picture();
    assert!(picture.starts_with(b"\x89PNG"));
    if let Some(folder) = std::env::var_os("SPK_PAGE_PICTURES") {
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), picture).unwrap();
    }
}

/// How many pieces of text are drawn.
const TEXTS: &str = "(() => { let count = 0; \
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); \
    while (walk.nextNode()) if (walk.currentNode.data.trim()) count++; return count; })()";
/// What is wrong with the page as it is drawn, in words.
const FAULTS: &str = include_str!("faults.js");
