//! Renders the pages.

use std::sync::LazyLock;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::form::{self, Entered, Wrong};
use super::html::{self, Text};
use super::{Visit, moment};
use crate::http::problem::Problem;
use crate::http::reply;
use crate::request::Question;
use crate::shape::Shape;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");

/// The state of the form: empty at first, or with the rejected input and its errors.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) alert: Option<String>,
    pub(super) wrong: Wrong,
    pub(super) entered: Option<Entered>,
}

impl Visit {
    pub(super) fn asked(&self, status: StatusCode, shown: &Shown) -> Response {
        let Question { workflow, run, key, prompt, metadata, proposal, shape, since, expires, .. } =
            &self.question;
        let asks = match &self.by {
            Some(by) => format!(" asks <bdi>{}</bdi>", Text(by)),
            None => " asks".to_owned(),
        };
        let until = match expires {
            Some(expires) => moment::time(*expires),
            None => "any time".to_owned(),
        };
        let mut main = format!(
            "<p class=\"from\"><bdi>{}</bdi>{asks}</p>\n<h1 dir=\"auto\">{}</h1>\n\
             <dl class=\"facts\"><div><dt>Run</dt><dd><bdi>{}</bdi></dd></div><div><dt>Step</dt><dd><bdi>{}</bdi></dd></div>\
             <div><dt>Asked</dt><dd>{}</dd></div><div><dt>Answer until</dt><dd>{until}</dd></div></dl>\n",
            Text(workflow),
            Text(prompt.as_deref().unwrap_or("Do you approve?")),
            Text(run),
            Text(key),
            moment::time(*since),
        );
        for (title, value, shape) in [("Details", metadata, &Shape::Any), ("Proposal", proposal, shape)] {
            if let Some(value) = value {
                let value = html::value(value, shape);
                main.push_str(&format!(
                    "<section><h2>{title}</h2><div class=\"sheet\">{value}</div></section>\n"
                ));
            }
        }
        main.push_str(&self.form(shown));
        page(status, &format!("Approval: {workflow}"), &main)
    }

    pub(super) fn answered(&self, done: &str) -> Response {
        let prompt = self.question.prompt.as_ref();
        let prompt =
            prompt.map(|prompt| format!("<p class=\"from text\" dir=\"auto\">{}</p>\n", Text(prompt)));
        let prompt = prompt.unwrap_or_default();
        let main = format!(
            "<h1 class=\"good\">{done}</h1>\n{prompt}<p>Your answer was recorded. You can close this page.</p>"
        );
        page(StatusCode::OK, done, &main)
    }

    fn form(&self, shown: &Shown) -> String {
        let Question { shape, proposal, .. } = &self.question;
        let Shown { alert, wrong, entered } = shown;
        let entered = entered.as_ref();
        let inputs = form::inputs(shape, proposal.as_ref(), entered, wrong);
        let text = |name: &str| entered.and_then(|entered| entered.get(name)).unwrap_or_default();
        let option = |value: &str, label: &str, more: &str| {
            let checked = if text("do") == value { " checked" } else { "" };
            let more =
                if more.is_empty() { String::new() } else { format!("<div class=\"more\">{more}</div>") };
            format!(
                "<div class=\"option\"><input type=\"radio\" name=\"do\" id=\"do-{value}\" value=\"{value}\" required{checked}>\
                 <label for=\"do-{value}\">{label}</label>{more}</div>\n"
            )
        };
        let approve = match proposal {
            Some(_) => {
                let accept = option("accept", "Approve as proposed", "");
                let edit = if inputs.is_empty() {
                    String::new()
                } else {
                    option("edit", "Change it, then approve", &inputs)
                };
                accept + &edit
            }
            None => option("approve", "Approve", &inputs),
        };
        let marked = wrong.iter().find(|(name, _)| name == "reason");
        let (invalid, why) = match marked {
            Some((_, words)) => (
                " aria-invalid=\"true\" aria-describedby=\"reason-wrong\"",
                format!("<p class=\"wrong\" id=\"reason-wrong\">{}</p>", Text(words)),
            ),
            None => ("", String::new()),
        };
        let reason = format!(
            "<div class=\"field\"><label for=\"reason\">Reason</label>{}{why}</div>",
            form::textarea(&format!("id=\"reason\" name=\"reason\"{invalid}"), 2, "", text("reason"))
        );
        let reject = option("reject", "Reject", &reason);
        let note = form::textarea("id=\"note\" name=\"note\"", 2, "", text("note"));
        let alert = alert.as_ref().map(|alert| {
            format!("<p class=\"alert\" role=\"alert\" tabindex=\"-1\" autofocus>{}</p>\n", Text(alert))
        });
        // With the browser's validation, an invalid input of an option that is not selected would block the answer.
        format!(
            "<form method=\"post\" novalidate>\n{}<fieldset>\n<legend>Your answer</legend>\n{approve}{reject}</fieldset>\n\
             <div class=\"field\"><label for=\"note\">Your note <span class=\"hint\">optional</span></label>{note}</div>\n\
             <button type=\"submit\">Send the answer</button>\n</form>",
            alert.unwrap_or_default()
        )
    }
}

/// A page without a form, for a visit that cannot answer the question.
pub(super) struct Ended {
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    pub(super) text: &'static str,
}

impl Ended {
    pub(super) fn refused(problem: impl Into<Problem>) -> Self {
        let problem = problem.into();
        let (title, text) = match problem.code() {
            "forged_link" => (
                "This link is not valid",
                "It is forged or was changed. Open it again from the message in which you received it.",
            ),
            "expired" | "expired_link" => (
                "Too late",
                "The time for an answer has ended. If your answer is still needed, ask the sender for a new link.",
            ),
            "not_asked" => ("Not for you", "This question is for other people. Nothing was changed."),
            // The link is valid, so the question was asked; it is no longer open.
            "unknown_token" | "already_answered" | "asked_again" | "run_ended" | "never_asked"
            | "no_such_run" | "withdrawn" => {
                let text = "This question was already answered or withdrawn. Nothing was changed.";
                return Self { status: StatusCode::CONFLICT, title: "Already answered", text };
            }
            "too_large" => ("Too long", "The answer is longer than the server accepts. Shorten it."),
            "store_failed" => ("Not now", "The question cannot be shown at the moment. Try again later."),
            _ => ("Something went wrong", "Nothing was changed. Open the link again and retry."),
        };
        let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, title, text }
    }

    pub(super) fn page(&self) -> Response {
        let Self { status, title, text } = self;
        page(*status, title, &format!("<h1 class=\"bad\">{title}</h1>\n<p>{text}</p>"))
    }
}

/// The content security policy: allows the inline style by its digest, and submitting the form to this server.
static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let style = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).ok()
});

fn page(status: StatusCode, title: &str, main: &str) -> Response {
    let title = Text(title).to_string();
    let page = html::filled(PAGE, |part| match part {
        "title" => &title,
        "style" => STYLE,
        "main" => main,
        _ => "",
    });
    let mut response = reply::html(status, page);
    if let Some(policy) = &*POLICY {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    }
    response
}
