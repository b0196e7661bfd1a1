use std::fmt;
use std::sync::Arc;

use awaitly_core::store::Operate;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;

use super::bearer::{BearerError, Bearers};
use super::board::Board;
use super::links::Links;
use super::problem::{self, Problem};
use super::receive::BODY_LIMIT;
use super::{page, questions, reply};
use crate::inbox::Inbox;
use crate::signature::{SecretError, hex, random_bytes};

/// An inbox over HTTP, as a [`Router`] of axum or as a server of its own.
///
/// | | |
/// | --- | --- |
/// | `GET /questions?run=&key=&limit=&after=` | questions that wait, the newest first, and `next`, which is where the next page begins; never a token |
/// | `GET /questions/{run}/{key}` | one of them |
/// | `POST /questions/{run}/{key}` | answers it: `{"approve": value}`, `{"accept": true}`, `{"edit": value}`, `{"reject": reason}`, `{"answer": value}`, `{"cancel": reason}` or `{"expire": true}`, with a `"note"` or without |
/// | `GET /link/{token}`, `POST /link/{token}` | the page of a question, and the form on it, for who has a [link](Links); only where [`links`](Self::links) were given |
///
/// Run and key stand in the path percent-encoded, with `%2F` for a slash. One that is just `.` or `..` cannot be asked
/// for so: clients take it out of the path.
///
/// # Who may
/// All of `/questions` needs a bearer token. Where none was given, nobody gets in. Who has one sees every question and
/// answers in the name of its person, who has to be among those who are asked; `cancel` and `expire` are for anybody
/// who has one. A page needs no token: the signature of its link says who answers.
///
/// # Problems
/// They are JSON, `{"error": {"code": "already_answered", "message": ".."}}`, and nothing was changed.
///
/// | status | codes |
/// | --- | --- |
/// | 400 | `malformed`, `no_verb`, `several_verbs`, `bad_query`, `bad_path`, `bad_cursor`, `incomplete` |
/// | 401 | `unauthorized` |
/// | 403 | `not_asked` |
/// | 404 | `no_such_run`, `never_asked`, `not_found` |
/// | 405 | `method_not_allowed` |
/// | 409 | `already_answered`, `run_ended`, `asked_again` |
/// | 410 | `expired`, `withdrawn` |
/// | 413 | `too_large` |
/// | 415 | `unsupported_type` |
/// | 422 | `misfit`, `other_kind`, `no_proposal`, `no_reason`, `unencodable`: well-formed, but not an answer to this question |
/// | 503 | `store_failed`, with nothing of what the store said, which is logged |
///
/// ```
/// use awaitly_hitl::Inbox;
/// use awaitly_hitl::http::{Api, Links, Secret};
/// use awaitly_persistence::MemoryStore;
///
/// # fn api(store: MemoryStore, bearer: &str, secret: Secret) -> Result<axum::Router, Box<dyn std::error::Error>> {
/// let links = Links::new(secret, "https://example.com/approvals")?;
/// let api = Api::new(Inbox::new(store)).bearer(bearer, "ada")?.links(links);
/// let app = axum::Router::new().nest("/approvals", api.router());
/// # Ok(app)
/// # }
/// ```
pub struct Api<S> {
    pub(super) board: Board<S>,
    pub(super) beyond_loopback: bool,
}

impl<S: Operate> Api<S> {
    /// The API of `inbox`, which nobody can use yet.
    pub fn new(inbox: Inbox<S>) -> Self {
        let board = Board { inbox, bearers: Bearers::default(), links: None, body_limit: BODY_LIMIT };
        Self { board, beyond_loopback: false }
    }

    /// Lets who shows `token` in, and answer in the name of `person`. Said again, it lets others in too.
    ///
    /// # Errors
    /// [`BearerError`] where the token could be guessed, or could not be sent.
    pub fn bearer(mut self, token: &str, person: impl Into<Arc<str>>) -> Result<Self, BearerError> {
        self.board.bearers.add(token, person.into())?;
        Ok(self)
    }

    /// Makes a token for `person`, as for an operator who has just started the program. It comes back beside the API, and
    /// is found nowhere else: show it to that person, and to no log.
    ///
    /// ```
    /// # use awaitly_hitl::{Inbox, http::Api};
    /// # use awaitly_persistence::MemoryStore;
    /// # fn api(store: MemoryStore) -> Result<(), Box<dyn std::error::Error>> {
    /// let (api, token) = Api::new(Inbox::new(store)).generate_bearer("operator")?;
    /// eprintln!("authorization: Bearer {token}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SecretError::NoRandomNumbers`]
    pub fn generate_bearer(mut self, person: impl Into<Arc<str>>) -> Result<(Self, String), SecretError> {
        let (token, person) = (hex(&random_bytes()?), person.into());
        tracing::info!(%person, "a bearer token was made: the program that asked for it has it");
        self.board.bearers.insert(&token, person);
        Ok((self, token))
    }

    /// Shows pages to those who come with one of these links.
    ///
    /// # Default
    /// There are no pages.
    #[must_use]
    pub fn links(mut self, links: Links) -> Self {
        self.board.links = Some(links);
        self
    }

    /// How many bytes the body of a request may have. One that has more is refused before all of it is read.
    ///
    /// # Default
    /// 64 KiB
    #[must_use]
    pub const fn body_limit(mut self, bytes: usize) -> Self {
        self.board.body_limit = bytes;
        self
    }

    /// Lets [`bind`](Self::bind) listen where other machines reach it. What goes back and forth is not encrypted there,
    /// and nobody is hurried who sends slowly: put something in front of it that speaks HTTPS and loses patience.
    ///
    /// # Default
    /// Only this machine reaches it.
    #[must_use]
    pub const fn beyond_loopback(mut self) -> Self {
        self.beyond_loopback = true;
        self
    }

    /// The routes, for a server of your own. They have an answer for whatever does not exist among them, so `nest` them
    /// below a path instead of `merge`.
    pub fn router(self) -> Router {
        let board = Arc::new(self.board);
        if board.bearers.is_empty() {
            tracing::warn!(
                "no bearer token was given: nobody can list or answer questions, say `Api::bearer`"
            );
        }
        let mut router = questions::routes(&board);
        if board.links.is_some() {
            router = router.merge(page::routes(&board));
        }
        router
            .fallback(async || Problem::new(404, "not_found", "there is nothing here: check the path"))
            .method_not_allowed_fallback(async || {
                Problem::new(
                    405,
                    "method_not_allowed",
                    "this cannot be done here: the header `allow` says what can",
                )
            })
            .layer(middleware::from_fn(async |request: Request, next: Next| {
                problem::unless_it_panics(|| next.run(request)).await
            }))
            .layer(middleware::map_response(async |response: Response| reply::guarded(response)))
    }
}

impl<S> fmt::Debug for Api<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Board { bearers, links, body_limit, .. } = &self.board;
        f.debug_struct("Api")
            .field("bearers", bearers)
            .field("links", links)
            .field("body_limit", body_limit)
            .field("beyond_loopback", &self.beyond_loopback)
            .finish_non_exhaustive()
    }
}
