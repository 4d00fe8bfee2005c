//! The web page as a client without scripts sees it. How it looks in a browser, and that its forms
//! work there, is proven by `browser_page`.

mod contrast;

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::authority;
use crate::client::{Client, Reply};
use crate::rig::{Rig, eventually, nowhere};
use crate::stages::{Stage, TMMS};

/// LIC-930, and the page's part of LIC-340 and LIC-342: in each stage the page says verdict, reason,
/// when and why traffic stops, days left, slots, steps with their buttons, Controllers, windows,
/// usage and events, as the API has them.
#[test]
fn the_page_says_in_each_stage_what_the_api_knows() {
    for stage in Stage::ALL {
        let rig = stage.rig();
        let _cwc = stage.reach(&rig);
        let client = rig.client();
        let (license, html) = page_and_license(&client);
        let text = visible(&html);
        let says = |what: &str| assert!(text.contains(what), "{stage:?}: no {what:?} in {text}");

        says(match license["verdict"]["value"].as_str().unwrap() {
            "allow" => "Traffic may pass",
            "warn" => "Traffic may pass, with a warning",
            "block" => "Traffic is stopped",
            other => panic!("{other}"),
        });
        match license["stopsAt"].as_str() {
            None => says("Traffic does not stop by itself"),
            Some(at) => says(&date(at)),
        }
        let reason = license["verdict"]["reason"].as_str().unwrap();
        says(match reason {
            "not_activated" => "not active yet",
            "jwt_missing" => "No licence JWT is set.",
            "receipt_wrong_report" => "for no report that waits",
            "verified" => "verified and nothing is wrong",
            "expiring" => "ends soon",
            "switching" => "switch of licenses is under way",
            "expired" => "has ended",
            other => panic!("{stage:?}: {other}"),
        });
        match (license["stopsBecause"].as_str(), stage) {
            (None, _) => assert_eq!(stage, Stage::ActivePaid),
            (Some("expired"), Stage::TrialExpired) => says("The license has ended."),
            (Some("expired"), _) => says("Reason: the license ends then."),
            (Some(because), _) => assert_eq!(because, reason, "{stage:?}"),
        }

        if let Some(days) = license["expiry"]["days"].as_i64() {
            says(&date(license["expiry"]["date"].as_str().unwrap()));
            match days {
                _ if stage == Stage::TrialExpired => says("The license ended on"),
                0 => says("Less than a day left"),
                1 => says("1 day left"),
                days => says(&format!("{days} days left")),
            }
        }
        for name in ["license", "current", "next", "switch"] {
            match license["slots"][name]["text"].as_str() {
                Some(state) => says(state),
                None => says("empty"),
            }
        }
        steps_and_buttons(stage, &license, &html, &text);
        says("spk-1");
        let controllers = &client.json("/v1/license")["controllers"];
        let tmms = controllers[0]["tmms"].as_array().unwrap();
        assert_eq!(tmms.len(), TMMS.len());
        for tmm in tmms {
            let (name, gate) = (tmm["name"].as_str().unwrap(), tmm["gate"].as_str().unwrap());
            says(&format!("{name} gate {gate}"));
        }
        windows_and_usage(stage, &client, &html, &text);
        last_events(&rig, &text);
    }
}

fn steps_and_buttons(stage: Stage, license: &Value, html: &str, text: &str) {
    let steps = license["nextSteps"].as_array().unwrap();
    // LIC-340: something is to be done unless the licence runs.
    assert!(!steps.is_empty() || stage.is_active(), "{stage:?}");
    let mut rest = text;
    for step in steps {
        for part in [step["text"].as_str(), step["command"].as_str()].into_iter().flatten() {
            let Some((_, after)) = rest.split_once(part) else {
                panic!("{stage:?}: no {part:?}, or not in this order, in {text}");
            };
            rest = after;
        }
        let now = step.get("notBefore").is_none();
        let button = match step["id"].as_str().unwrap() {
            "report" if now => "href=\"/report",
            "receipt" if now => "action=\"/page/receipt\"",
            "renew" if now => "action=\"/page/reactivate\"",
            _ => continue,
        };
        assert!(html.contains(button), "{stage:?}: no {button}");
    }
    let downloads = html.contains("href=\"/report");
    let waits = steps.iter().any(|step| step["id"] == "report");
    assert_eq!(downloads, waits, "{stage:?}: a button for what cannot be done, or none");
}

fn windows_and_usage(stage: Stage, client: &Client, html: &str, text: &str) {
    let telemetry = client.json("/v1/telemetry");
    if !stage.is_active() {
        assert!(text.contains("The first window opens when the license is activated"), "{text}");
        return;
    }
    let end = date(telemetry["window"]["end"].as_str().unwrap());
    assert!(text.contains(&format!("download from {end}")), "{stage:?}: {text}");
    for window in telemetry["upcoming"].as_array().unwrap().iter().take(3) {
        let start = &window["start"].as_str().unwrap()[..10];
        assert!(text.contains(start), "{stage:?}: {start} in {text}");
    }
    let usage = &telemetry["usage"];
    if usage["samples"] == 0 {
        assert_ne!(stage, Stage::ActivePaid, "it was counted at the second start");
        assert!(text.contains("Nothing was counted yet"), "{stage:?}: {text}");
        return;
    }
    for (name, member) in [
        ("vCPUs, at most", "cpu_count"),
        ("Kinds of resources, at most", "unique_crds"),
        ("Resources, at most", "total_crds"),
    ] {
        let row = format!("{name} {}", usage[member]);
        assert!(text.contains(&row), "{stage:?}: {row:?} in {text}");
    }
    let svg = html.split_once("<svg").unwrap().1.split_once("</svg>").unwrap().0;
    assert!(svg.contains("<rect"), "no bar: {svg}");
    assert!(visible(svg).contains("vCPUs"), "no unit: {svg}");
}

/// The newest 20 events of the file, newest first.
fn last_events(rig: &Rig, text: &str) {
    let events = rig.events();
    assert!(!events.is_empty());
    let list = text.rsplit_once("Last events").unwrap().1;
    let mut rest = list;
    for event in events.iter().rev().take(20) {
        let told = event["text"].as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [event["reason"].as_str().unwrap(), &told] {
            let Some((_, after)) = rest.split_once(part) else {
                panic!("no {part:?}, or not in this order, in {list}");
            };
            rest = after;
        }
    }
}

/// LIC-930, "last 20 events": of more than 20 the oldest are left out, and a restart keeps them.
#[test]
fn the_page_shows_the_last_twenty_events_also_after_a_restart() {
    let rig = Rig::new("eval");
    let cwc = rig.start();
    eventually(Duration::from_secs(10), "a report", || rig.client().state() == 7);
    let told = rig.events().len();
    for count in 0..25 {
        rig.value("posts_per_minute", &format!("wrong-{count}-wrong"));
        eventually(Duration::from_secs(10), "the refused value", || {
            rig.events().iter().any(|event| event.to_string().contains(&format!("wrong-{count}-")))
        });
    }
    assert!(rig.events().len() >= told + 25);
    let shown = |client: &Client| visible(&client.get("/").body);
    eventually(Duration::from_secs(5), "the last event", || {
        shown(&rig.client()).contains("wrong-24-wrong")
    });
    last_events(&rig, &shown(&rig.client()));
    assert!(!shown(&rig.client()).contains("wrong-4-wrong"));
    rig.value("posts_per_minute", "100000");
    cwc.kill();
    let _cwc = rig.start();
    let after = shown(&rig.client());
    assert!(after.contains("wrong-24-wrong") && !after.contains("wrong-4-wrong"), "{after}");
}

/// LIC-931 but for the browser: the page and all it refers to are of this server, nothing is inline,
/// and the policy of its header allows nothing else.
#[test]
fn nothing_on_the_page_comes_from_elsewhere() {
    for stage in [Stage::ReportWaits, Stage::TrialExpiring] {
        let rig = stage.rig();
        let _cwc = stage.reach(&rig);
        let client = rig.client();
        let reply = client.get("/");
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(reply.header("referrer-policy"), None);
        for outside in ["http:", "https:", "style=", "<style", "onclick", "onload", "<iframe"] {
            assert!(!reply.body.contains(outside), "{outside} in {}", reply.body);
        }
        let links = links(&reply.body);
        assert!(links.len() > 3, "{links:?}");
        for link in links {
            assert!(link.starts_with('/') && !link.starts_with("//"), "{link}");
            // What it refers to is there.
            if !link.starts_with("/page/") && !link.starts_with("/report") {
                assert_eq!(client.get(&link).status, 200, "{link}");
            }
        }
        for script in reply.body.split("<script").skip(1) {
            assert!(script.split_once("</script>").unwrap().0.ends_with('>'), "inline: {script}");
        }
        let css = client.get("/page.css").body;
        assert!(!css.contains("url(") && !css.contains("@import"), "{css}");
    }
}

/// LIC-933: a form without the token of its own session is refused and changes nothing; with it a
/// file and a pasted text are taken. The page says what came of it.
#[test]
fn a_form_needs_the_token_of_its_session() {
    let rig = Stage::Downloaded.rig();
    let _cwc = Stage::Downloaded.reach(&rig);
    let client = rig.client();
    let receipt = authority::receipt(&client.report());
    let (mine, other) = (Session::open(&client), Session::open(&client));
    assert_ne!(mine.cookie, other.cookie);
    let records = rig.records();
    for (cookie, token) in [
        (None, None),
        (None, Some(mine.token.as_str())),
        (Some(mine.cookie.as_str()), None),
        (Some(mine.cookie.as_str()), Some("")),
        (Some(mine.cookie.as_str()), Some(other.token.as_str())),
        (Some("__Host-spk="), Some(mine.token.as_str())),
    ] {
        let mut fields = vec![("text", receipt.as_str())];
        fields.extend(token.map(|token| ("session", token)));
        let reply = send(&client, "/page/receipt", cookie, &fields);
        assert_eq!(reply.status, 403, "{cookie:?} {token:?}: {reply:?}");
    }
    assert_eq!((client.state(), rig.records()), (10, records));

    // A browser sends the fields that are empty as well.
    let fields = [("session", mine.token.as_str()), ("file", ""), ("text", &receipt)];
    let reply = send(&client, "/page/receipt", Some(&mine.cookie), &fields);
    assert_eq!(reply.status, 303, "{reply:?}");
    assert_eq!(client.state(), 12);
    let location = reply.header("location").unwrap();
    let text = visible(&client.get(location).body);
    assert!(text.contains("The receipt was accepted"), "{text}");

    let jwt = authority::jwt("ela");
    let fields = [("session", mine.token.as_str()), ("text", &jwt)];
    let reply = send(&client, "/page/reactivate", Some(&mine.cookie), &fields);
    assert_eq!(reply.status, 303, "{reply:?}");
    assert_ne!(client.json("/v1/license")["slots"]["switch"], Value::Null);
    let text = visible(&client.get(reply.header("location").unwrap()).body);
    assert!(text.contains("The new license was taken"), "{text}");
}

/// LIC-933, LIC-308: the form of curl with a file passes, one of a foreign page does not.
#[test]
fn curl_uploads_a_receipt_as_the_form_does() {
    let rig = Stage::Downloaded.rig();
    let _cwc = Stage::Downloaded.reach(&rig);
    let client = rig.client();
    let receipt = json!({ "manifest": authority::receipt(&client.report()) }).to_string();
    for (name, text) in [
        ("form/client.pem", &rig.client_pair.certificate),
        ("form/client.key", &rig.client_pair.key),
        ("form/receipt.json", &receipt),
    ] {
        rig.put(name, text);
    }
    let session = Session::open(&client);
    let upload = |headers: &[&str]| {
        let output = Command::new("curl")
            .args(["-k", "--silent", "--show-error", "--write-out", "%{http_code}"])
            .arg("--cert")
            .arg(rig.path("form/client.pem"))
            .arg("--key")
            .arg(rig.path("form/client.key"))
            .args(["--cookie", &session.cookie, "--output", "/dev/null"])
            .args(["--form-string", &format!("session={}", session.token)])
            .arg("--form")
            .arg(format!("file=@{}", rig.path("form/receipt.json").display()))
            .args(headers)
            .arg(format!("https://{}:30881/page/receipt", rig.ip))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    for header in ["Origin: https://evil.example", "Sec-Fetch-Site: cross-site"] {
        assert_eq!(upload(&["--header", header]), "403", "{header}");
    }
    assert_eq!(client.state(), 10);
    let own = format!("Origin: https://{}:30881", rig.ip);
    assert_eq!(upload(&["--header", &own, "--header", "Sec-Fetch-Site: same-origin"]), "303");
    assert_eq!(client.state(), 12);
}

/// LIC-933: what is refused is told with its reason and what to do, and no page, log or record holds
/// a JWT or receipt that a form brought.
#[test]
fn a_refused_form_says_why_and_what_to_do_and_repeats_no_token() {
    let rig = Stage::Downloaded.rig();
    let _cwc = Stage::Downloaded.reach(&rig);
    let client = rig.client();
    let report = client.report();
    let session = Session::open(&client);
    let mut pages = vec![client.get("/").body];
    let form = |path: &str, text: &str| {
        let fields = [("session", session.token.as_str()), ("text", text)];
        let reply = send(&client, path, Some(&session.cookie), &fields);
        match reply.header("location") {
            Some(location) => (reply.status, client.get(location).body),
            None => (reply.status, reply.body),
        }
    };
    let marked = json!({ "sub": "MARKED-MARKED-MARKED" }).to_string();
    let forged = authority::foreign_key().sign(marked.as_bytes()).unwrap();
    let wrong = authority::receipt_with(&report, &json!({ "reportID": uuid::Uuid::new_v4() }));
    let id = authority::read(&report).telemetry.report_id.to_string();
    for (path, token, reason, fix) in [
        ("/page/receipt", "MARKEDGARBAGE", "receipt_malformed", id.as_str()),
        ("/page/receipt", &forged, "receipt_signature", &id),
        ("/page/receipt", &wrong, "receipt_wrong_report", &id),
        ("/page/reactivate", &authority::jwt("ela"), "wrong_state", "steps below"),
    ] {
        let (status, html) = form(path, token);
        assert_ne!(status, 303, "{path} {reason}");
        let text = visible(&html);
        assert!(text.contains(reason), "{reason} in {text}");
        let alert = visible(
            html.split_once("role=\"alert\"").unwrap().1.split_once("</section>").unwrap().0,
        );
        assert!(alert.contains("What to do:") && alert.contains(fix), "{fix} in {alert}");
        pages.push(html);
    }
    let receipt = authority::receipt(&report);
    assert_eq!(form("/page/receipt", &receipt).0, 303);
    pages.push(client.get("/").body);
    let marked_jwt = authority::jwt("ela");
    assert_eq!(form("/page/reactivate", &marked_jwt).0, 303);
    pages.push(client.get("/").body);
    let first = rig.record("licensekey");
    for token in [&first, &marked_jwt, &receipt, &forged, &wrong, &report] {
        for part in token.split('.') {
            for page in &pages {
                assert!(!page.contains(part), "{part} in {page}");
            }
        }
    }
    assert!(nowhere(rig.dir.path(), "MARKEDGARBAGE"));
    assert!(nowhere(rig.dir.path(), forged.split('.').nth(1).unwrap()));
}

/// LIC-309 for the page's forms: a body above the limit is refused.
#[test]
fn a_form_has_the_limits_of_its_endpoint() {
    let rig = Stage::Downloaded.rig();
    let _cwc = Stage::Downloaded.reach(&rig);
    let client = rig.client();
    let session = Session::open(&client);
    for (path, limit) in [("/page/receipt", 65_536), ("/page/reactivate", 8_192)] {
        for (length, refused) in [(limit, false), (limit + 1, true), (200_000, true)] {
            let text = "x".repeat(length);
            let fields = [("session", session.token.as_str()), ("text", &text)];
            let reply = send(&client, path, Some(&session.cookie), &fields);
            assert_eq!(reply.status == 413, refused, "{path} {length}: {}", reply.status);
        }
    }
    assert_eq!(client.state(), 10);
}

/// A browser's session: its cookie and the token of its forms.
struct Session {
    cookie: String,
    token: String,
}

impl Session {
    fn open(client: &Client) -> Self {
        let reply = client.get("/");
        let cookie = reply.header("set-cookie").unwrap();
        for word in ["Secure", "HttpOnly", "SameSite=Strict", "__Host-"] {
            assert!(cookie.contains(word), "{word} in {cookie}");
        }
        let cookie = cookie.split_once(';').unwrap().0.to_owned();
        let reply = client.send("GET", "/", &[("Cookie", &cookie)], b"").unwrap();
        let (_, after) = reply.body.split_once("name=\"session\" value=\"").unwrap();
        Self { cookie, token: after.split_once('"').unwrap().0.to_owned() }
    }
}

/// Sends a form as a browser does.
fn send(client: &Client, path: &str, cookie: Option<&str>, fields: &[(&str, &str)]) -> Reply {
    let mut body = String::new();
    for (name, value) in fields {
        let file = if *name == "file" { "; filename=\"\"" } else { "" };
        body.push_str(&format!(
            "--edge\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n"
        ));
    }
    body.push_str("--edge--\r\n");
    let mut headers = vec![("Content-Type", "multipart/form-data; boundary=edge")];
    headers.extend(cookie.map(|cookie| ("Cookie", cookie)));
    client.send("POST", path, &headers, body.as_bytes()).unwrap()
}

/// The page and the licence of the same instant.
fn page_and_license(client: &Client) -> (Value, String) {
    let license = || {
        let mut license = client.json("/v1/license");
        // These run on.
        for member in ["clock", "controllers"] {
            license[member] = Value::Null;
        }
        license
    };
    for _ in 0..50 {
        let (before, page) = (license(), client.get("/").body);
        if license() == before {
            return (before, page);
        }
    }
    panic!("the licence does not come to rest");
}

/// What a person reads of `html`, with single blanks.
fn visible(html: &str) -> String {
    let mut text = String::new();
    for (index, part) in html.split('<').enumerate() {
        let read =
            if index == 0 { part } else { part.split_once('>').map_or("", |(_, read)| read) };
        text.push(' ');
        text.push_str(read);
    }
    for (escaped, read) in
        [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")]
    {
        text = text.replace(escaped, read);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Values of all attributes that refer to something.
fn links(html: &str) -> Vec<String> {
    ["href=\"", "src=\"", "action=\""]
        .iter()
        .flat_map(|attribute| html.split(attribute).skip(1))
        .map(|after| after.split_once('"').unwrap().0.to_owned())
        .collect()
}

/// A timestamp of the API as the page writes it.
fn date(text: &str) -> String {
    let at: jiff::Timestamp = text.parse().unwrap();
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
