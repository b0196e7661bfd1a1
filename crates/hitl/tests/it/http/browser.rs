//! A Chromium that is driven as a person would: by WebDriver, which is JSON over HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The variable that says where chromedriver is, and the one that may say where the browser is.
const DRIVER: &str = "AWAITLY_CHROMEDRIVER";
const BROWSER: &str = "AWAITLY_CHROMIUM";
/// The folder that pictures of pages are put into, for those who want to look at them.
const PICTURES: &str = "AWAITLY_PICTURES";

/// How long the browser may take for anything; on a busy machine it does take a while.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with nothing in it. It ends when this is dropped.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    client: reqwest::Client,
    _profile: TempDir,
}

/// Something on a page.
pub(crate) struct Element<'b> {
    browser: &'b Browser,
    id: String,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let program = std::env::var_os(DRIVER).filter(|program| !program.is_empty()).unwrap_or_else(|| {
            panic!("say in {DRIVER} where chromedriver is, or call `cargo xtask test`, which finds one")
        });
        let mut driver = Command::new(program);
        let profile = tempfile::tempdir().unwrap();
        // It says which port it took. What it and the browser leave behind goes with the profile.
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
            // What is looked for may be on a page that is on its way.
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

    /// Something that only Chromium can do.
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

    /// Sends the form of the page, and waits for `sign` on the one that follows.
    pub(crate) async fn submit(&self, sign: &str) {
        self.find("button").await.click().await;
        self.find(sign).await;
    }

    /// All that a person can read on the page.
    pub(crate) async fn text(&self) -> String {
        self.find("body").await.text().await
    }

    /// What a script gives, which is run beside the page.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.say("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Opens another tab, which is the one that is looked at from now on, and gives the one before.
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

    /// A screen of another width, by day or by night.
    pub(crate) async fn screen(&self, width: u32, colors: &str) {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": colors }] });
        self.chromium("Emulation.setEmulatedMedia", media).await;
        let metrics = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.chromium("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// A picture of the whole page, where somebody wants to look at it.
    pub(crate) async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os(PICTURES) else { return };
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.chromium("Page.captureScreenshot", whole).await;
        let picture = BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        std::fs::write(Path::new(&folder).join(format!("page-{name}.png")), picture).unwrap();
    }

    /// What the browser complained of since it was asked last.
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

    /// Enters text in the place of what is there.
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
            // Whoever nobody listens to may stop talking.
            std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
            return port;
        }
        line.clear();
    }
    panic!("chromedriver ended, and did not say where it listens: {:?}", driver.wait());
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
        // The driver ends its browser when its session does, and not when it is killed.
        if let Err(error) = self.end_session() {
            eprintln!("a browser may be left behind: {error}");
        }
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}

impl Browser {
    // Without `await`, and also where the test has failed.
    fn end_session(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let request = format!("DELETE /session/{} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", self.session);
        stream.write_all(request.as_bytes())?;
        // It answers when the browser has ended; what it says is no matter.
        stream.read(&mut [0; 1024]).map(drop)
    }
}
