//! The page of a link, with the question and a form for the answer. It contains no script and loads no other resource.

mod form;
mod html;
mod moment;
mod view;

use std::sync::Arc;

use awaitly_core::store::Operate;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Router, routing};
use serde_json::Value;

use self::form::{Entered, Wrong};
use self::view::{Ended, Shown};
use super::board::Board;
use super::links;
use super::problem::Problem;
use super::receive;
use crate::inbox::InboxError;
use crate::request::{Question, QuestionKind};

/// The channel that the journal records for answers of the page.
const VIA: &str = "link";

/// The token from the path, percent-decoded.
type Token = Result<Path<String>, PathRejection>;

pub(super) fn routes<S: Operate>(board: &Arc<Board<S>>) -> Router {
    // The signature in the URL protects the form against requests from other sites (CSRF): there is no cookie or other
    // credential that a browser adds by itself, and without the link, the URL cannot be made.
    Router::new()
        .route("/link/{token}", routing::get(show::<S>).post(submit::<S>))
        .with_state(Arc::clone(board))
}

/// Shows the page. A `GET` must not change state, because mail scanners open every link.
async fn show<S: Operate>(
    State(board): State<Arc<Board<S>>>,
    token: Token,
    RawQuery(query): RawQuery,
) -> Response {
    match visit(&board, token, query).await {
        Ok(visit) => visit.asked(StatusCode::OK, &Shown::default()),
        Err(ended) => ended.page(),
    }
}

async fn submit<S: Operate>(
    State(board): State<Arc<Board<S>>>,
    token: Token,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    match answer(&board, token, query, request).await {
        Ok(page) => page,
        Err(ended) => ended.page(),
    }
}

async fn answer<S: Operate>(
    board: &Board<S>,
    token: Token,
    query: Option<String>,
    request: Request,
) -> Result<Response, Ended> {
    let visit = visit(board, token, query).await?;
    receive::content_type(request.headers(), "application/x-www-form-urlencoded").map_err(Ended::refused)?;
    let (head, body) = request.into_parts();
    let body = receive::body(&head.headers, body, board.body_limit).await.map_err(Ended::refused)?;
    let entered = Entered::parse(&body);
    let choice = match Choice::of(&entered, &visit.question) {
        Ok(choice) => choice,
        Err((alert, wrong)) => {
            let shown = Shown { alert: Some(alert), wrong, entered: Some(entered) };
            return Ok(visit.asked(StatusCode::UNPROCESSABLE_ENTITY, &shown));
        }
    };
    let mut reply = board.inbox.with_token(&*visit.question.token).via(VIA);
    if let Some(by) = &visit.by {
        reply = reply.by(by.clone());
    }
    if let Some(note) = entered.words("note") {
        reply = reply.note(note);
    }
    let done = if let Choice::Reject(_) = choice { "Rejected" } else { "Approved" };
    let given = match choice {
        Choice::Accept => reply.accept().await,
        Choice::Approve(value) => reply.approve(&value).await,
        Choice::Reject(reason) => reply.reject(&reason).await,
    };
    match given {
        Ok(()) => Ok(visit.answered(done)),
        Err(error) if is_of_the_value(&error) => {
            let problem = Problem::from(error);
            let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            let alert = format!("The answer was not accepted: {}.", problem.message());
            Ok(visit.asked(status, &Shown { alert: Some(alert), wrong: Vec::new(), entered: Some(entered) }))
        }
        Err(error) => Err(Ended::refused(error)),
    }
}

/// Returns whether the inbox could accept another value, so that the form is shown again.
const fn is_of_the_value(error: &InboxError) -> bool {
    matches!(
        error,
        InboxError::WrongShape(_)
            | InboxError::WrongType { .. }
            | InboxError::Unencodable(_)
            | InboxError::TooLarge { .. }
            | InboxError::NoProposal
            | InboxError::NoReason
    )
}

/// A visit with a valid link to an open question.
struct Visit {
    question: Question,
    by: Option<String>,
}

async fn visit<S: Operate>(board: &Board<S>, token: Token, query: Option<String>) -> Result<Visit, Ended> {
    let (Some(signed), Ok(Path(token))) = (&board.links, token) else {
        return Err(Ended::refused(links::forged()));
    };
    let now = board.inbox.store().now().await.map_err(|error| Ended::refused(Problem::store(&error)))?;
    let by = signed.verify(&token, &query.unwrap_or_default(), now).map_err(Ended::refused)?;
    let question = board.inbox.with_token(token).show().await.map_err(Ended::refused)?;
    if question.kind != QuestionKind::Approval {
        let text = "This question is for a program: there is no page for it.";
        return Err(Ended { status: StatusCode::NOT_FOUND, title: "No page", text });
    }
    let answerers = &question.answerers;
    if !answerers.is_empty() && !by.as_ref().is_some_and(|by| answerers.contains(by)) {
        return Err(Ended::refused(InboxError::NotAnAnswerer { by, answerers: answerers.clone() }));
    }
    Ok(Visit { question, by })
}

/// The selected option of the form.
enum Choice {
    Accept,
    Approve(Value),
    Reject(String),
}

impl Choice {
    fn of(entered: &Entered, question: &Question) -> Result<Self, (String, Wrong)> {
        let alone = |alert: &str| (alert.to_owned(), Wrong::new());
        let value = || {
            form::answer(&question.shape, question.proposal.as_ref(), entered).map_err(|wrong| {
                ("The answer was not accepted: correct the marked inputs.".to_owned(), wrong)
            })
        };
        match entered.get("do") {
            Some("accept") => Ok(Self::Accept),
            Some("approve" | "edit") => value().map(Self::Approve),
            Some("reject") => entered.words("reason").map(Self::Reject).ok_or_else(|| {
                (
                    "The answer was not accepted: give a reason.".to_owned(),
                    vec![("reason".to_owned(), "Give a reason.".to_owned())],
                )
            }),
            _ => Err(alone("Choose an answer.")),
        }
    }
}
