//! Tests of the page in a real browser.

use std::collections::BTreeMap;

use awaitly_core::clock::days;
use awaitly_core::{DurableRun, RunError};
use awaitly_hitl::http::{Api, Links, Secret};
use awaitly_hitl::{AnswerRecord, Approvals};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::KEY;
use super::browser::Browser;
use crate::world::{Office, waits};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Payment {
    cents: u64,
    rate: f64,
    way: Way,
    reference: String,
    urgent: bool,
    note: Option<String>,
    to: Account,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Way {
    Transfer,
    Card,
    Cash,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Account {
    holder: String,
    number: u64,
}

fn payment() -> Payment {
    Payment {
        cents: 4200,
        rate: 0.25,
        way: Way::Card,
        reference: "Trip to Bonn\nTaxi <from> & to the \"station\"".into(),
        urgent: true,
        note: None,
        to: Account { holder: "Ada Lovelace".into(), number: 18_151_210 },
        tags: BTreeMap::from([("team".into(), "engines".into())]),
    }
}

/// A server for the pages of an office, which stops when it is dropped.
struct Door {
    links: Links,
    stop: CancellationToken,
}

impl Door {
    async fn open(office: &Office) -> Self {
        let stop = CancellationToken::new();
        // The links lead to the port that the system selects.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let links = Links::new(Secret::new(KEY).unwrap(), &base).unwrap();
        let api = Api::new(office.inbox.clone()).links(links.clone());
        tokio::spawn(api.serve(listener, stop.clone()));
        Self { links, stop }
    }

    async fn link(&self, office: &Office, run: &str, by: Option<&str>) -> String {
        self.links.to_question(&office.inbox.at(run, "manager").show().await.unwrap(), by)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn ask(office: &Office) -> Result<Payment, RunError> {
    let body = async |run: &DurableRun| {
        run.approval("manager")
            .prompt("Shall we pay what Ada spent on her trip to Bonn?")
            .metadata(&json!({ "department": "Analytical Engines", "receipts": ["train.pdf", "taxi.pdf"], "budget_left": 120_000 }))
            .proposal(&payment())
            .answerer("grace")
            .expires_in(days(3))
            .await
    };
    office.workflow.run("trip-7", body).await
}

#[tokio::test]
async fn answer_on_the_page_resumes_the_run() {
    let office = Office::new();
    let door = Door::open(&office).await;
    assert_eq!(ask(&office).await, waits("manager"));
    let link = door.link(&office, "trip-7", Some("grace")).await;

    let browser = Browser::start().await;
    browser.open(&link).await;
    let text = browser.text().await;
    for words in [
        "expense asks grace",
        "Shall we pay what Ada spent on her trip to Bonn?",
        "trip-7",
        "Analytical Engines",
        "Taxi <from> & to the \"station\"",
        "Approve as proposed",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // Two tabs open one link, and the second one answers too late.
    let first = browser.another_tab().await;
    browser.open(&link).await;
    browser.without_scripts().await;
    browser.find("label[for=do-accept]").await.click().await;
    let second = browser.another_tab().await;
    browser.look_at(&first).await;
    browser.without_scripts().await;

    assert!(
        !browser.find("#answer-0").await.is_shown().await,
        "the input is hidden until its option is selected"
    );
    browser.find("label[for=do-edit]").await.click().await;
    let cents = browser.find("#answer-0").await;
    assert!(cents.is_shown().await);
    assert_eq!(cents.value().await, "4200");
    cents.enter("4000").await;
    browser.find("#answer-2 option[value=Cash]").await.click().await;
    browser.find("label[for=answer-4]").await.click().await;
    browser.find("#answer-5").await.enter("zwei Zeilen:\nüber <b>alles</b>").await;
    browser.find("#answer-6-0").await.enter("Charles \"B\"").await;
    browser.find("#note").await.enter("without the taxi").await;
    browser.submit("h1.good").await;
    let text = browser.text().await;
    assert!(text.contains("Approved") && text.contains("Your answer was recorded."), "{text}");

    let mut expected = payment();
    (expected.cents, expected.way, expected.urgent) = (4000, Way::Cash, false);
    expected.note = Some("zwei Zeilen:\nüber <b>alles</b>".into());
    expected.to.holder = "Charles \"B\"".into();
    assert_eq!(ask(&office).await, Ok(expected));
    let record = office.stored("trip-7").await.records.pop().unwrap();
    let answer: AnswerRecord<Payment> = record.outcome.payload().decode().unwrap();
    assert_eq!(
        (answer.by.as_deref(), answer.note.as_deref(), answer.via.as_deref(), answer.edited),
        (Some("grace"), Some("without the taxi"), Some("link"), true)
    );

    let before = office.stored("trip-7").await;
    browser.look_at(&second).await;
    browser.submit("h1.bad").await;
    assert!(browser.text().await.contains("Already answered"));
    browser.open(&link).await;
    assert!(browser.text().await.contains("Already answered"));
    assert_eq!(office.stored("trip-7").await, before);
}

/// Checks that the page of a link fits the screen, has its colors, and has a label and a touchable size for each control.
async fn fits(browser: &Browser, link: &str, name: &str, width: u32, colors: &str) {
    browser.screen(width, colors).await;
    browser.open(link).await;
    browser.picture(&format!("{name}-{width}-{colors}")).await;
    browser.find("label[for=do-edit]").await.click().await;
    browser.picture(&format!("{name}-{width}-{colors}-edit")).await;
    let wide = browser.run("return document.documentElement.scrollWidth - window.innerWidth").await;
    assert!(wide.as_i64().unwrap() <= 0, "{name} at {width}: {wide} too wide");
    let ground = browser.run("return getComputedStyle(document.querySelector('main')).backgroundColor").await;
    assert_eq!(ground == "rgb(255, 255, 255)", colors == "light", "{ground}");
    let nameless = "return [...document.querySelectorAll('input, select, textarea')]\
                    .filter(input => !input.labels.length).map(input => input.id)";
    assert_eq!(browser.run(nameless).await, json!([]), "each input has a label");
    let low = "return [...document.querySelectorAll('.option > label, button, select, input[type=number], textarea')]\
               .filter(one => one.offsetHeight && one.offsetHeight < 44).map(one => one.outerHTML)";
    assert_eq!(browser.run(low).await, json!([]), "each control is at least 44 pixels high");
}

#[tokio::test]
async fn page_fits_every_screen_and_blocks_injection() {
    const ATTACK: &str =
        "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">";
    const DECEPTION: &str = "Pay 1\u{2067}000 2\u{2069} Euro\u{200b}s to a\u{202e}lice\u{202c}\u{e0041}?";
    let office = Office::new();
    let door = Door::open(&office).await;
    assert_eq!(ask(&office).await, waits("manager"));
    let body = async |run: &DurableRun| {
        let approval = run
            .approval("manager")
            .prompt(ATTACK)
            .metadata(&json!({ ATTACK: ATTACK, "long": "x".repeat(300) }));
        approval.proposal(&json!({ "anything": [ATTACK] })).await.map(drop)
    };
    assert!(office.workflow.run(ATTACK, body).await.is_err());
    let browser = Browser::start().await;
    // Names, numbers and texts with hidden characters and reversed text.
    let body = async |run: &DurableRun| {
        let approval = run.approval("manager").prompt(DECEPTION).metadata(&json!({ DECEPTION: DECEPTION }));
        approval.proposal(&json!({ "to": DECEPTION })).await.map(drop)
    };
    assert!(office.workflow.run("deception", body).await.is_err());
    let links =
        [("payment", "trip-7", Some("grace")), ("attack", ATTACK, None), ("deception", "deception", None)];
    for (name, run, by) in links {
        let link = door.link(&office, run, by).await;
        for (width, colors) in [(360, "light"), (360, "dark"), (1100, "light"), (1100, "dark")] {
            fits(&browser, &link, name, width, colors).await;
        }
        assert_eq!(browser.run("return document.title").await, "Approval: expense");
        assert_eq!(browser.run("return document.querySelectorAll('script, img').length").await, 0);
    }
    browser.open(&door.link(&office, "deception", None).await).await;
    let heading = browser.find("h1").await.text().await;
    assert_eq!(heading, "Pay 1\u{fffd}000 2\u{fffd} Euro\u{fffd}s to a\u{fffd}lice\u{fffd}\u{fffd}?");
    // The policy allows the style of the page, and blocks an injected script.
    let complaints = browser.complaints().await;
    assert!(complaints.iter().all(|complaint| !complaint.contains("style")), "{complaints:?}");
    let inline = "const script = document.createElement('script'); script.textContent = 'document.title = \"taken\"';\
                  document.body.append(script); return document.title";
    assert_eq!(browser.run(inline).await, "Approval: expense");

    // Each invalid input shows its error, and all input is kept.
    browser.screen(360, "light").await;
    browser.open(&door.link(&office, "trip-7", Some("grace")).await).await;
    browser.submit(".alert").await;
    assert!(browser.text().await.contains("Choose an answer."));
    browser.find("label[for=do-edit]").await.click().await;
    browser.find("#answer-0").await.enter("1.5").await;
    browser.find("#answer-7").await.enter("{").await;
    browser.find("#note").await.enter("a note").await;
    browser.submit(".wrong").await;
    browser.picture("wrong-360-light").await;
    let text = browser.text().await;
    assert!(
        text.contains("Enter a whole number, not below 0.") && text.contains("This is not valid JSON"),
        "{text}"
    );
    assert_eq!(browser.find("#answer-0").await.value().await, "1.5");
    assert_eq!(browser.find("#note").await.value().await, "a note");
    browser.screen(360, "dark").await;
    browser.find("label[for=do-reject]").await.click().await;
    browser.find("#reason").await.enter("no budget").await;
    browser.picture("reject-360-dark").await;
    browser.submit("h1.good").await;
    browser.picture("done-360-dark").await;
    assert!(browser.text().await.contains("Rejected"));
    let rejected = RunError::Rejected { step: "manager".into(), reason: "\"no budget\"".into() };
    assert_eq!(ask(&office).await, Err(rejected));
    browser.open(&door.link(&office, ATTACK, None).await.replace("signature=", "signature=x")).await;
    browser.screen(1100, "light").await;
    browser.picture("forged-1100-light").await;
    assert!(browser.text().await.contains("This link is not valid"));
}
