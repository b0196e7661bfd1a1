use std::fmt;
use std::sync::Arc;

use awaitly_core::store::Operate;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;

use super::bearer::Bearers;
use super::board::Board;
use super::links::Links;
use super::problem::{self, Problem};
use super::receive::BODY_LIMIT;
use super::{page, questions, reply};
use crate::inbox::Inbox;
use crate::signature::{SecretError, hex, random_bytes};

/// An inbox over HTTP, as an axum [`Router`] or as a standalone server.
///
/// | request | effect |
/// | --- | --- |
/// | `GET /questions?run=&key=&limit=&after=` | lists open questions, newest first, without their tokens; `next` is the cursor of the next page |
/// | `GET /questions/{run}/{key}` | shows one question |
/// | `POST /questions/{run}/{key}` | answers it: `{"approve": value}`, `{"accept": true}`, `{"edit": value}`, `{"reject": reason}`, `{"answer": value}`, `{"withdraw": reason}` or `{"expire": true}`, each with an optional `"note"` |
/// | `GET /link/{token}`, `POST /link/{token}` | shows the page of a [link](Links), and submits its form; only if [`links`](Self::links) is called |
///
/// Percent-encode the run id and the key in the path, with `%2F` for a slash. A run id or key of `.` or `..` cannot be
/// requested this way, because clients remove it from the path.
///
/// # Authorization
/// All requests under `/questions` need a bearer token; until a token is [added](Self::bearer), the API refuses all
/// of them. With a token, a client sees every question and answers in the name of the token's person. If the question
/// has answerers, that person must be one of them; `withdraw` and `expire` are allowed with any token. A page needs
/// no bearer token, because the signature of its link identifies the person.
///
/// # Problems
/// Errors are JSON, for example `{"error": {"code": "already_answered", "message": ".."}}`. A status from 400 to 499
/// means that no state has changed. After status 500 or 503, the answer may or may not be recorded.
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
/// | 500 | `internal`: your code panicked, for example a type of [`Inbox::expects`]; the panic is logged |
/// | 503 | `store_failed`; the error of the store is logged and not sent |
///
/// # Examples
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
    /// Creates the API of `inbox`. It refuses all requests until a [token](Self::bearer) or [links](Self::links) are added.
    pub fn new(inbox: Inbox<S>) -> Self {
        let board = Board { inbox, bearers: Bearers::default(), links: None, body_limit: BODY_LIMIT };
        Self { board, beyond_loopback: false }
    }

    /// Adds a bearer token with which clients answer in the name of `person`. Call this once for each token. If a
    /// token is added again, the new person replaces the earlier one.
    ///
    /// # Errors
    /// Returns [`SecretError::TooShort`] if the token has fewer than 16 bytes, or [`SecretError::Unsendable`] if it
    /// contains characters other than visible ASCII characters.
    ///
    /// # Examples
    /// ```
    /// # use awaitly_hitl::{Inbox, SecretError, http::Api};
    /// # use awaitly_persistence::MemoryStore;
    /// # fn api(ada_token: &str) -> Result<(), SecretError> {
    /// let api = Api::new(Inbox::new(MemoryStore::new())).bearer(ada_token, "ada")?;
    /// # Ok(())
    /// # }
    /// # assert_eq!(api("short"), Err(SecretError::TooShort { bytes: 5 }));
    /// # assert_eq!(api("0123456789abcdef0123456789abcdef"), Ok(()));
    /// ```
    pub fn bearer(mut self, token: &str, person: impl Into<Arc<str>>) -> Result<Self, SecretError> {
        self.board.bearers.add(token, person.into())?;
        Ok(self)
    }

    /// Generates a bearer token for `person`, for example for an operator, at the start of the program.
    ///
    /// Returns the API and the token. The token cannot be retrieved later: show it to that person, and never log it.
    ///
    /// # Examples
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
    /// Returns [`SecretError::NoRandomNumbers`] if the operating system provides no random bytes.
    pub fn generate_bearer(mut self, person: impl Into<Arc<str>>) -> Result<(Self, String), SecretError> {
        let (token, person) = (hex(&random_bytes()?), person.into());
        tracing::info!(%person, "a bearer token was generated");
        self.board.bearers.insert(&token, person);
        Ok((self, token))
    }

    /// Serves the pages of these links.
    ///
    /// # Default
    /// The API serves no pages.
    #[must_use]
    pub fn links(mut self, links: Links) -> Self {
        self.board.links = Some(links);
        self
    }

    /// Sets the maximal size of a request body in bytes. A larger body is refused before it is read completely.
    ///
    /// # Default
    /// 64 KiB
    #[must_use]
    pub const fn body_limit(mut self, bytes: usize) -> Self {
        self.board.body_limit = bytes;
        self
    }

    /// Allows [`serve`](Self::serve) to listen on addresses that other machines can reach.
    ///
    /// The server does not encrypt, and has no timeout for slow clients: put a proxy with HTTPS and timeouts in front.
    ///
    /// # Default
    /// Only this machine can reach the server.
    #[must_use]
    pub const fn beyond_loopback(mut self) -> Self {
        self.beyond_loopback = true;
        self
    }

    /// Returns the routes, for your own server. They include a fallback for unknown paths, so mount them with `nest` under a
    /// path, and not with `merge`.
    pub fn router(self) -> Router {
        let board = Arc::new(self.board);
        if board.bearers.is_empty() {
            tracing::warn!(
                "no bearer token is set, so the API refuses to list and answer questions: call `Api::bearer`"
            );
        }
        let mut router = questions::routes(&board);
        if board.links.is_some() {
            router = router.merge(page::routes(&board));
        }
        router
            .fallback(async || Problem::new(404, "not_found", "this path does not exist: check it"))
            .method_not_allowed_fallback(async || {
                Problem::new(
                    405,
                    "method_not_allowed",
                    "this path does not support the method: the header `allow` lists those that it does",
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
