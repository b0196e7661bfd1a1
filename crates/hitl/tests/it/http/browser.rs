//! Drives Chromium as a person would, through WebDriver, which is JSON over HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The environment variables with the paths of chromedriver and, optionally, of the browser.
const DRIVER: &str = "AWAITLY_CHROMEDRIVER";
const BROWSER: &str = "AWAITLY_CHROMIUM";
/// The environment variable with a folder for screenshots of the pages; without it, none are taken.
const PICTURES: &str = "AWAITLY_PICTURES";

/// The timeout of each command. On a busy machine, the browser is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with an empty profile. It is closed when the value is dropped.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    client: reqwest::Client,
    _profile: TempDir,
}

/// An element of a page.
pub(crate) struct Element<'b> {
    browser: &'b Browser,
    id: String,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let program = std::env::var_os(DRIVER).filter(|program| !program.is_empty()).unwrap_or_else(|| {
            panic!("set {DRIVER} to the path of chromedriver, or run `cargo xtask test`, which finds it")
        });
        let mut driver = Command::new(program);
        let profile = tempfile::tempdir().unwrap();
        // The driver prints the port that it selects. Its files are removed together with the profile.
        driver.arg("--port=0").env("TMPDIR", profile.path());
        driver.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = driver.spawn().unwrap();
        let port = port_of(&mut driver);
        let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        let mut browser = Self { driver, port, session: String::new(), client, _profile: profile };
        let options = options(browser._profile.path());
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": options,
            // The page with the element may still be loading.
            "timeouts": { "implicit": 30_000 },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let session =
            browser.post("/session", json!({ "capabilities": { "alwaysMatch": capabilities } })).await;
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        browser
    }

    async fn send(&self, request: reqwest::RequestBuilder, what: &str) -> Value {
        let answer = request.send().await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let value = answer.json::<Value>().await.unwrap()["value"].take();
        assert!(value.get("error").is_none(), "{what}: {value}");
        value
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        self.send(self.client.post(url).json(&body), &format!("{path} {body}")).await
    }

    async fn say(&self, path: &str, body: Value) -> Value {
        self.post(&format!("/session/{}{path}", self.session), body).await
    }

    async fn ask(&self, path: &str) -> Value {
        let url = format!("http://127.0.0.1:{}/session/{}{path}", self.port, self.session);
        self.send(self.client.get(url), path).await
    }

    /// Executes a command of the Chrome DevTools Protocol.
    async fn chromium(&self, command: &str, parameters: Value) -> Value {
        self.say("/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    pub(crate) async fn open(&self, url: &str) {
        self.say("/url", json!({ "url": url })).await;
    }

    pub(crate) async fn find(&self, selector: &str) -> Element<'_> {
        let found = self.say("/element", json!({ "using": "css selector", "value": selector })).await;
        let id = found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        Element { browser: self, id }
    }

    /// Submits the form of the page, and waits for the element `sign` on the next page.
    pub(crate) async fn submit(&self, sign: &str) {
        self.find("button").await.click().await;
        self.find(sign).await;
    }

    /// Returns the visible text of the page.
    pub(crate) async fn text(&self) -> String {
        self.find("body").await.text().await
    }

    /// Runs a script in the page and returns its result.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.say("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Opens and selects another tab. Returns the previous tab.
    pub(crate) async fn another_tab(&self) -> Value {
        let before = self.ask("/window").await;
        let tab = self.say("/window/new", json!({ "type": "tab" })).await;
        self.look_at(&tab["handle"]).await;
        before
    }

    pub(crate) async fn look_at(&self, tab: &Value) {
        self.say("/window", json!({ "handle": tab })).await;
    }

    pub(crate) async fn without_scripts(&self) {
        self.chromium("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    }

    /// Sets the width of the screen, and the light or dark color scheme.
    pub(crate) async fn screen(&self, width: u32, colors: &str) {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": colors }] });
        self.chromium("Emulation.setEmulatedMedia", media).await;
        let metrics = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.chromium("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Takes a screenshot of the whole page if a folder is set for it.
    pub(crate) async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os(PICTURES) else { return };
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.chromium("Page.captureScreenshot", whole).await;
        let picture = BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        std::fs::write(Path::new(&folder).join(format!("page-{name}.png")), picture).unwrap();
    }

    /// Returns the messages in the browser's log since the last call.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.say("/se/log", json!({ "type": "browser" })).await;
        log.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }
}

impl Element<'_> {
    async fn say(&self, path: &str, body: Value) {
        self.browser.say(&format!("/element/{}{path}", self.id), body).await;
    }

    pub(crate) async fn click(&self) {
        self.say("/click", json!({})).await;
    }

    /// Replaces the text of an input.
    pub(crate) async fn enter(&self, text: &str) {
        self.say("/clear", json!({})).await;
        self.say("/value", json!({ "text": text })).await;
    }

    pub(crate) async fn text(&self) -> String {
        self.browser.ask(&format!("/element/{}/text", self.id)).await.as_str().unwrap().to_owned()
    }

    pub(crate) async fn value(&self) -> String {
        self.browser.ask(&format!("/element/{}/property/value", self.id)).await.as_str().unwrap().to_owned()
    }

    pub(crate) async fn is_shown(&self) -> bool {
        self.browser.ask(&format!("/element/{}/displayed", self.id)).await.as_bool().unwrap()
    }
}

fn port_of(driver: &mut Child) -> u16 {
    let mut said = BufReader::new(driver.stdout.take().unwrap());
    let mut line = String::new();
    while said.read_line(&mut line).unwrap() > 0 {
        if let Some((_, port)) = line.trim_end().rsplit_once("successfully on port ") {
            let port = port.trim_end_matches('.').parse().unwrap();
            // The driver may end if its output is not read.
            std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
            return port;
        }
        line.clear();
    }
    panic!("chromedriver ended without printing its port: {:?}", driver.wait());
}

fn options(profile: &Path) -> Value {
    let mut options = json!({ "args": [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        format!("--user-data-dir={}", profile.display()),
    ] });
    if let Some(browser) = std::env::var(BROWSER).ok().filter(|browser| !browser.is_empty()) {
        options["binary"] = browser.into();
    }
    options
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver closes the browser at the end of the session, but not if the driver is killed.
        if let Err(error) = self.end_session() {
            eprintln!("a browser may be left behind: {error}");
        }
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}

impl Browser {
    // This is synchronous, so that `drop` can call it, even after a failed test.
    fn end_session(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let request = format!("DELETE /session/{} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", self.session);
        stream.write_all(request.as_bytes())?;
        // The driver responds after the browser has ended; the response is irrelevant.
        stream.read(&mut [0; 1024]).map(drop)
    }
}
