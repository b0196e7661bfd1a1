//! The JSON routes, which list, show and answer questions.

use std::sync::Arc;

use awaitly_core::store::{Operate, RunId, WaitQuery};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router, middleware, routing};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::board::Board;
use super::problem::Problem;
use super::receive;
use super::reply::json;
use crate::inbox::{InboxError, Reply};

/// The channel that the journal records for answers of these routes.
const VIA: &str = "http";

/// The person to whom the bearer token of a request belongs.
#[derive(Clone)]
struct Person(Arc<str>);

pub(super) fn routes<S: Operate>(board: &Arc<Board<S>>) -> Router {
    Router::new()
        .route("/questions", routing::get(list::<S>))
        .route("/questions/{run}/{key}", routing::get(show::<S>).post(answer::<S>))
        .route_layer(middleware::from_fn_with_state(Arc::clone(board), admit::<S>))
        .with_state(Arc::clone(board))
}

/// Refuses requests without a known bearer token.
async fn admit<S: Operate>(State(board): State<Arc<Board<S>>>, mut request: Request, next: Next) -> Response {
    match board.bearers.person(request.headers()) {
        Ok(person) => {
            request.extensions_mut().insert(Person(person));
            next.run(request).await
        }
        Err(unauthorized) => unauthorized.into_response(),
    }
}

async fn list<S: Operate>(
    State(board): State<Arc<Board<S>>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let page = board.inbox.list(wanted(&query.unwrap_or_default())?).await?;
    Ok(json(StatusCode::OK, &json!({ "questions": page.items, "next": page.next })))
}

fn wanted(query: &str) -> Result<WaitQuery, Problem> {
    let mut wanted = WaitQuery::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let bad = |message: &str| Problem::new(400, "bad_query", message.to_owned()).field(&*name);
        wanted = match &*name {
            "run" => wanted.run(RunId::new(&*value).map_err(|error| bad(&error.to_string()))?),
            "key" => wanted.key(value.into_owned()),
            "limit" => wanted.limit(value.parse().map_err(|_| bad("`limit` must be a number"))?),
            "after" => wanted.after(&*value),
            _ => return Err(bad("this parameter is unknown: use `run`, `key`, `limit` and `after`")),
        };
    }
    Ok(wanted)
}

/// The run id and the key from the path, percent-decoded.
type Place = Result<Path<(String, String)>, PathRejection>;

fn place(place: Place) -> Result<(String, String), Problem> {
    let Path(place) = place
        .map_err(|_| Problem::new(400, "bad_path", "the run id and the key must be percent-encoded UTF-8"))?;
    Ok(place)
}

async fn show<S: Operate>(State(board): State<Arc<Board<S>>>, at: Place) -> Result<Response, Problem> {
    let (run, key) = place(at)?;
    let question = board.inbox.at(run, key).show().await?;
    Ok(json(StatusCode::OK, &question))
}

async fn answer<S: Operate>(
    State(board): State<Arc<Board<S>>>,
    Extension(Person(person)): Extension<Person>,
    at: Place,
    request: Request,
) -> Result<Response, Problem> {
    let (run, key) = place(at)?;
    receive::content_type(request.headers(), "application/json")?;
    let (head, body) = request.into_parts();
    let body = receive::body(&head.headers, body, board.body_limit).await?;
    let (verb, note) = Given::read(&body)?.into_verb()?;
    let mut reply = board.inbox.at(run.as_str(), key.clone()).by(&*person).via(VIA);
    if let Some(note) = note {
        reply = reply.note(note);
    }
    verb.give(reply).await?;
    Ok(json(StatusCode::OK, &json!({ "run": run, "key": key, "by": &*person })))
}

/// The body of an answer. The presence of a verb counts, not its value, so `null` is a valid value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    #[serde(default, deserialize_with = "present")]
    approve: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    accept: Option<True>,
    #[serde(default, deserialize_with = "present")]
    edit: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    reject: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    answer: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    withdraw: Option<String>,
    #[serde(default, deserialize_with = "present")]
    expire: Option<True>,
    #[serde(default)]
    note: Option<String>,
}

/// A value that can only be `true`, because `{"accept": false}` has no meaning.
struct True;

enum Verb {
    Approve(Value),
    Accept,
    Edit(Value),
    Reject(Value),
    Answer(Value),
    Withdraw(String),
    Expire,
}

impl Given {
    fn read(body: &[u8]) -> Result<Self, Problem> {
        let malformed =
            |why: &str| Problem::new(400, "malformed", format!("the body is not an answer: {why}"));
        // serde would accept a list as an object whose names are omitted.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(malformed("it must be an object"));
        }
        serde_json::from_slice(body).map_err(|error| malformed(&error.to_string()))
    }

    fn into_verb(self) -> Result<(Verb, Option<String>), Problem> {
        let Self { approve, accept, edit, reject, answer, withdraw, expire, note } = self;
        let verbs = [
            approve.map(Verb::Approve),
            accept.map(|True| Verb::Accept),
            edit.map(Verb::Edit),
            reject.map(Verb::Reject),
            answer.map(Verb::Answer),
            withdraw.map(Verb::Withdraw),
            expire.map(|True| Verb::Expire),
        ];
        let mut verbs = verbs.into_iter().flatten();
        match (verbs.next(), verbs.next()) {
            (Some(verb), None) => Ok((verb, note)),
            (None, _) => Err(Problem::new(400, "no_verb", format!("send one of {VERBS}"))),
            (Some(_), Some(_)) => {
                Err(Problem::new(400, "several_verbs", format!("send only one of {VERBS}")))
            }
        }
    }
}

const VERBS: &str = "`approve`, `accept`, `edit`, `reject`, `answer`, `withdraw`, `expire`";

impl Verb {
    async fn give<S: Operate>(self, reply: Reply<'_, S>) -> Result<(), InboxError> {
        match self {
            Self::Approve(value) => reply.approve(&value).await,
            Self::Accept => reply.accept().await,
            Self::Edit(value) => reply.edit(&value).await,
            Self::Reject(reason) => reply.reject(&reason).await,
            Self::Answer(value) => reply.answer(&value).await,
            Self::Withdraw(reason) => reply.withdraw(reason).await,
            Self::Expire => reply.expire().await,
        }
    }
}

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for True {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if bool::deserialize(deserializer)? {
            Ok(Self)
        } else {
            Err(serde::de::Error::custom("the only valid value is `true`"))
        }
    }
}
