//! Headless Chromium, driven by its debugging protocol over a pipe.
//!
//! Owns the browser's process and one tab. Every wait is for an answer or an event of the browser;
//! the suite's own limit ends one that never comes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use spk_jose::base64url;
use tempfile::TempDir;

/// A browser with one tab.
pub struct Chromium {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    count: u64,
    session: Option<String>,
    /// What the browser told, oldest first.
    pub events: Vec<Value>,
    /// Where downloads go.
    pub downloads: TempDir,
    _profile: TempDir,
}

/// How a tab looks at a page.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Width of the window, CSS pixels.
    pub width: u32,
    /// Whether the page's scripts run.
    pub scripts: bool,
    /// Whether the system's colours are dark.
    pub dark: bool,
}

impl Chromium {
    /// Starts a browser. It takes any server certificate: the forwarder in front of the CWC has one
    /// of the test's own.
    pub fn start() -> Self {
        let (profile, downloads) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        // The protocol is spoken on descriptors 3 and 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec 3<&0 4>&1 </dev/null >/dev/null 2>&1; exec \"$@\"", "sh"])
            .args(["chromium-headless-shell", "--remote-debugging-pipe", "--no-sandbox"])
            .args(["--ignore-certificate-errors", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--hide-scrollbars", "--no-proxy-server"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let to = child.stdin.take().unwrap();
        let from = BufReader::new(child.stdout.take().unwrap());
        let mut chromium = Self {
            child,
            to,
            from,
            count: 0,
            session: None,
            events: Vec::new(),
            downloads,
            _profile: profile,
        };
        let folder = chromium.downloads.path().display().to_string();
        let behavior = json!({ "behavior": "allow", "downloadPath": folder });
        chromium.call("Browser.setDownloadBehavior", &behavior);
        let tab = chromium.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": tab["targetId"], "flatten": true });
        let attached = chromium.call("Target.attachToTarget", &attach);
        chromium.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Network", "Log", "Runtime", "Audits", "DOM"] {
            chromium.call(&format!("{domain}.enable"), &json!({}));
        }
        chromium
    }

    /// Has the tab look like this from now on.
    pub fn look(&mut self, view: View) {
        let size = json!({
            "width": view.width, "height": 800, "deviceScaleFactor": 1, "mobile": false,
        });
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let scripts = json!({ "value": !view.scripts });
        self.call("Emulation.setScriptExecutionDisabled", &scripts);
        let scheme = if view.dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// Opens an address and waits until all of it is there.
    pub fn open(&mut self, url: &str) {
        self.events.clear();
        let answer = self.call("Page.navigate", &json!({ "url": url }));
        assert!(answer.get("errorText").is_none(), "{url}: {answer}");
        self.wait_for("Page.loadEventFired");
    }

    /// The value of an expression in the page.
    pub fn value(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", &asked);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// The visible text of the page.
    pub fn text(&mut self) -> String {
        // There is no body while a page is being loaded.
        self.value("document.body?.innerText ?? ''").as_str().unwrap().to_owned()
    }

    /// Puts a file into the field that `selector` finds.
    pub fn choose_file(&mut self, selector: &str, path: &str) {
        let root = self.call("DOM.getDocument", &json!({}))["root"]["nodeId"].clone();
        let asked = json!({ "nodeId": root, "selector": selector });
        let field = self.call("DOM.querySelector", &asked)["nodeId"].clone();
        self.call("DOM.setFileInputFiles", &json!({ "nodeId": field, "files": [path] }));
    }

    /// Presses what `selector` finds, with the mouse, as a person does.
    pub fn press(&mut self, selector: &str) {
        let place = self.value(&format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView(); \
             const r = e.getBoundingClientRect(); \
             return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({
                "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1,
            });
            self.call("Input.dispatchMouseEvent", &event);
        }
    }

    /// Presses what `selector` finds and waits for the page that comes of it.
    pub fn submit(&mut self, selector: &str) {
        self.events.clear();
        self.press(selector);
        self.wait_for("Page.loadEventFired");
    }

    /// The whole page as PNG.
    pub fn picture(&mut self) -> Vec<u8> {
        let asked = json!({ "format": "png", "captureBeyondViewport": true });
        let answer = self.call("Page.captureScreenshot", &asked);
        let text = answer["data"].as_str().unwrap();
        let text = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
        base64url::decode(&text).unwrap()
    }

    /// Waits for an event, unless it came already.
    pub fn wait_for(&mut self, method: &str) {
        while !self.events.iter().any(|event| event["method"] == method) {
            let message = self.read();
            self.events.push(message);
        }
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.count += 1;
        let mut message = json!({ "id": self.count, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut text = message.to_string();
        text.push('\0');
        self.to.write_all(text.as_bytes()).unwrap();
        self.to.flush().unwrap();
        loop {
            let message = self.read();
            if message["id"] == self.count {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn read(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.from.read_until(0, &mut bytes).unwrap();
        assert_eq!(bytes.pop(), Some(0), "the browser ended");
        serde_json::from_slice(&bytes).unwrap()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
