use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

use awaitly_core::store::RunId;
use awaitly_core::{AsRunError, DurableRun, FromStep, KeepRun, RunError, Workflow};
use axum::body::Bytes;
use axum::extract::Request as Unread;
use axum::http::{HeaderName, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{self, MethodRouter};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::problem::{Problem, unless_it_panics};
use super::receive::{self, BODY_LIMIT, single};
use super::reply::{guarded, json, raw_json};
use super::signed::{Covers, SignatureCheck, Signed};
use super::start::{Ended, How, Pause, Start, needs_store};
use crate::signature::{IDEMPOTENCY_KEY, hex, random_bytes};

/// A route that turns each request into a run and responds with the run's value.
///
/// A function parses and checks the request. Its result becomes the [`input`](awaitly_core::Run::input) of a run, and the
/// response is the value of the run as JSON. With an [idempotency key](Self::idempotency_header), a client that lost the
/// response can repeat the request: it receives the outcome of the first request, and no work is repeated.
///
/// # Examples
/// ```
/// use awaitly_core::{AsRunError, DurableRun, RunError, Workflow, step};
/// use awaitly_hitl::http::{Inbound, Problem, json};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Order {
///     sku: String,
/// }
///
/// #[derive(Debug, serde::Serialize, serde::Deserialize, thiserror::Error)]
/// enum OrderError {
///     #[error("sold out")]
///     SoldOut,
///     #[error(transparent)]
///     Run(#[from] RunError),
/// }
/// # impl AsRunError for OrderError {
/// #     fn as_run_error(&self) -> Option<&RunError> {
/// #         match self { Self::Run(error) => Some(error), Self::SoldOut => None }
/// #     }
/// # }
/// # async fn reserve(sku: &str) -> Result<u32, OrderError> { Ok(7) }
///
/// async fn place(run: DurableRun) -> Result<u32, OrderError> {
///     let order: Order = run.input()?;
///     Ok(step!(run, reserve(&order.sku)))
/// }
///
/// # fn app(orders: Workflow) -> axum::Router {
/// let orders = Inbound::new(orders, json::<Order>, place)
///     .idempotency_header("Idempotency-Key")
///     .map_error(|error| match error {
///         OrderError::SoldOut => Problem::new(409, "sold_out", "this product is sold out"),
///         OrderError::Run(error) => error.into(),
///     });
/// let app = axum::Router::new().route("/orders", orders.post());
/// # app
/// # }
/// ```
///
/// # Responses
/// - 200 with the value of the run.
/// - 202 with `{"run": "..", "status": "waiting"}` if the run waits, is parked, or waits during an undo, regardless of the
///   error that the body returns; also if its body calls another run that waits. A client that later repeats the request
///   receives the outcome.
/// - A [`Problem`] in all other cases:
///
/// | status | codes |
/// | --- | --- |
/// | 400 | `malformed`; `idempotency_key`: it is missing, repeated or too long; `incomplete`: the body ended early |
/// | 401 | `unsigned`, `forged`, `stale` |
/// | 405 | `method_not_allowed`: the request is not a `POST` |
/// | 409 | `busy`: the request is already being executed; `input_changed`: its key was used with other content |
/// | 413, 415, 422 | `too_large`; `unsupported_type`; `invalid` |
/// | 500 | `internal`: your code panicked, for example the parser; the panic is logged |
/// | others | the result of [`map_error`](Self::map_error) for your own errors, and of `Problem::from(&RunError)` for errors of the library |
///
/// # Cancel safety
/// If the client disconnects, the server drops the run. With a store, the recorded steps remain: the next request
/// with the key resumes the run, and so does a worker of `awaitly-engine` that serves the workflow. A run without a key
/// has a random run id, so only a worker resumes it. Without a store, the run is lost.
pub struct Inbound<E> {
    workflow: Arc<str>,
    has_store: bool,
    start: Start<Request<Bytes>, E>,
    identity: Identity,
    check: Option<SignatureCheck>,
    map_error: Option<MapError<E>>,
    body_limit: usize,
}

type MapError<E> = Arc<dyn Fn(&E) -> Problem + Send + Sync>;
type MakeId = Arc<dyn Fn(&Request<Bytes>) -> Result<String, Problem> + Send + Sync>;

/// The source of the run id.
enum Identity {
    /// Each request gets a random run id.
    None,
    Header(Box<str>),
    Made(MakeId),
}

impl<E: AsRunError + Send + 'static> Inbound<E> {
    /// Creates a route that reads requests with `parse` and executes runs of `workflow` with `body`.
    pub fn new<X, P, I, F, Fut, T>(workflow: Workflow<X>, parse: P, body: F) -> Self
    where
        X: KeepRun<T, E> + 'static,
        P: Fn(&Request<Bytes>) -> Result<I, Problem> + Send + Sync + 'static,
        I: Serialize,
        F: Fn(DurableRun) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Serialize + Send + 'static,
        E: FromStep<RunError> + fmt::Display,
    {
        Self {
            workflow: workflow.name(),
            has_store: workflow.has_store(),
            start: Start::new(workflow, parse, body),
            identity: Identity::None,
            check: None,
            map_error: None,
            body_limit: BODY_LIMIT,
        }
    }

    /// Identifies requests by this header, the idempotency key. A request without the header is refused, except that a
    /// [signed](Self::signed) request may have its key in `webhook-id` alone. The run id is the name of the workflow, a
    /// `/`, and the key.
    ///
    /// Clients choose their keys, and a client that repeats another client's request receives its outcome. To separate
    /// clients, build the run id from the client's identity as well, with [`run_id`](Self::run_id).
    ///
    /// # Default
    /// Each request is a separate run. With [`signed`](Self::signed), requests with equal `webhook-id` share one run;
    /// in the [old form](SignatureCheck#the-old-form), only an exact replay shares the run of the first request.
    ///
    /// # Panics
    /// Panics if the workflow has no store: the key would have no effect.
    #[must_use]
    pub fn idempotency_header(mut self, name: impl Into<Box<str>>) -> Self {
        needs_store(&self.workflow, self.has_store, "the idempotency key of a request");
        self.identity = Identity::Header(name.into());
        self
    }

    /// Sets the function that makes the run id of a request.
    ///
    /// With [`signed`](Self::signed), `make` receives only the parts that the signature covers: the body, `webhook-id`,
    /// `webhook-timestamp`, and the method and path if the signature covers them; in the old form the body and the headers of
    /// the time and of the idempotency key.
    ///
    /// # Panics
    /// Panics if the workflow has no store: the run id would have no effect.
    ///
    /// # Examples
    /// ```
    /// # use awaitly_core::{DurableRun, RunError, Workflow};
    /// # use awaitly_hitl::http::{Inbound, Problem, json};
    /// # async fn place(run: DurableRun) -> Result<u32, RunError> { Ok(7) }
    /// # fn app(orders: Workflow) -> axum::Router {
    /// let orders = Inbound::new(orders, json::<u32>, place).run_id(|request| {
    ///     let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    ///     match (header("tenant"), header("order-id")) {
    ///         (Some(tenant), Some(order)) => Ok(format!("{tenant}/{order}")),
    ///         _ => Err(Problem::invalid("send the headers `tenant` and `order-id`")),
    ///     }
    /// });
    /// # axum::Router::new().route("/orders", orders.post())
    /// # }
    /// ```
    #[must_use]
    pub fn run_id(
        mut self,
        make: impl Fn(&Request<Bytes>) -> Result<String, Problem> + Send + Sync + 'static,
    ) -> Self {
        needs_store(&self.workflow, self.has_store, "the run id of a request");
        self.identity = Identity::Made(Arc::new(make));
        self
    }

    /// Admits only requests that pass `check`.
    ///
    /// The idempotency key is `webhook-id`, which the signature covers. If the request also has the
    /// [key header](Self::idempotency_header), by default `idempotency-key`, both headers must have one value. In the
    /// [old form](SignatureCheck#the-old-form), the key header contains the key.
    ///
    /// # Default
    /// Every request is admitted: put a proxy that authenticates clients in front of the server.
    ///
    /// # Panics
    /// Panics if the workflow has no store: a replayed request would be executed again.
    ///
    /// # Examples
    /// ```
    /// # use awaitly_core::{DurableRun, RunError, Workflow};
    /// # use awaitly_hitl::http::{Inbound, Secret, SignatureCheck, json};
    /// # async fn place(run: DurableRun) -> Result<u32, RunError> { Ok(7) }
    /// # fn app(orders: Workflow, secret: Secret) -> axum::Router {
    /// let check = SignatureCheck::new(secret).without_old_form();
    /// let orders = Inbound::new(orders, json::<u32>, place).signed(check);
    /// # axum::Router::new().route("/orders", orders.post())
    /// # }
    /// ```
    #[must_use]
    pub fn signed(mut self, check: SignatureCheck) -> Self {
        needs_store(&self.workflow, self.has_store, "a signed request that is replayed");
        self.check = Some(check);
        self
    }

    /// Sets the response to your own errors. The route calls `map` only if the run has ended and its error contains no
    /// [`RunError`].
    ///
    /// # Default
    /// [`Problem::internal`]; the error is logged.
    ///
    /// # Examples
    /// ```
    /// # use awaitly_core::{DurableRun, Error, Workflow};
    /// # use awaitly_hitl::http::{Inbound, Problem, json};
    /// # async fn place(run: DurableRun) -> Result<u32, Error<String>> { Ok(7) }
    /// # fn app(orders: Workflow) -> axum::Router {
    /// let orders = Inbound::new(orders, json::<u32>, place)
    ///     .map_error(|error| Problem::new(409, "not_placed", error.to_string()));
    /// # axum::Router::new().route("/orders", orders.post())
    /// # }
    /// ```
    #[must_use]
    pub fn map_error(mut self, map: impl Fn(&E) -> Problem + Send + Sync + 'static) -> Self {
        self.map_error = Some(Arc::new(map));
        self
    }

    /// Sets the maximal size of a request body in bytes. A larger body is refused before it is read completely.
    ///
    /// # Default
    /// 64 KiB
    #[must_use]
    pub const fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Returns the route, for `POST` requests.
    pub fn post<S: Clone + Send + Sync + 'static>(self) -> MethodRouter<S>
    where
        E: fmt::Display,
    {
        let inbound = Arc::new(self);
        let answer = move |request: Unread| {
            let inbound = Arc::clone(&inbound);
            async move {
                let answer =
                    async { inbound.answer(request).await.unwrap_or_else(IntoResponse::into_response) };
                guarded(unless_it_panics(|| answer).await)
            }
        };
        routing::post(answer).fallback(async || {
            guarded(Problem::new(405, "method_not_allowed", "this route accepts only `POST`").into_response())
        })
    }

    async fn answer(&self, request: Unread) -> Result<Response, Problem>
    where
        E: fmt::Display,
    {
        let (head, body) = request.into_parts();
        let body = receive::body(&head.headers, body, self.body_limit).await?;
        let request = Request::from_parts(head, body);
        let run = self.identify(&request)?;
        let prepared = self.start.prepare(&request)?;
        drop(request);
        let Ended { result, pause, .. } = prepared.execute(&run, How::Run).await;
        let error = match result {
            Ok(value) => return Ok(raw_json(StatusCode::OK, value)),
            Err(error) => error,
        };
        match (pause, error.as_run_error(), &self.map_error) {
            (Some(Pause::Waits), ..) | (_, Some(RunError::Waiting { .. }), _) => {
                Ok(json(StatusCode::ACCEPTED, &json!({ "run": &*run, "status": "waiting" })))
            }
            (_, Some(error), _) => Err(error.into()),
            (None, None, Some(map)) => Err(map(&error)),
            (_, None, _) => {
                tracing::error!(run = &*run, %error, "a request failed");
                Err(Problem::internal())
            }
        }
    }

    /// Returns the run id of a request, or the reason why the request is refused.
    fn identify(&self, request: &Request<Bytes>) -> Result<Arc<str>, Problem> {
        let header = match &self.identity {
            Identity::Header(name) => name,
            _ => IDEMPOTENCY_KEY,
        };
        let bad_key = |message: &str| Problem::new(400, "idempotency_key", format!("`{header}`: {message}"));
        let key = single(request.headers(), header).map_err(|_| bad_key("send the header once, in ASCII"))?;
        let signed = match &self.check {
            Some(check) => Some(check.verify(request, header, key, SystemTime::now())?),
            None => None,
        };
        let run = match (&self.identity, &signed) {
            (Identity::Header(_), signed) => {
                // In the form of Standard Webhooks, the id is the key; `verify` has checked that both agree.
                let key = key.or_else(|| Some(signed.as_ref()?.id)).filter(|key| !key.is_empty());
                let key = key.ok_or_else(|| {
                    bad_key("set it to an id of this request, which a repeated request sends again")
                })?;
                format!("{}/{key}", self.workflow)
            }
            (Identity::Made(make), None) => make(request)?,
            (Identity::Made(make), Some(signed)) => make(&signed_part(request, signed))?,
            (Identity::None, Some(Signed { covers: Covers::Old, headers, .. })) => {
                // Digest only the signed parts, so that a replay has the run id of the original.
                let mut digest = Sha256::new();
                for header in headers {
                    digest.update(single(request.headers(), header).ok().flatten().unwrap_or_default());
                    digest.update(b"\n");
                }
                digest.update(request.body());
                format!("{}/{}", self.workflow, hex(&digest.finalize()))
            }
            (Identity::None, Some(signed)) => format!("{}/{}", self.workflow, signed.id),
            (Identity::None, None) => {
                let random = random_bytes().map_err(|error| {
                    tracing::error!(%error, "a request failed");
                    Problem::internal()
                })?;
                format!("{}/{}", self.workflow, hex(&random))
            }
        };
        let run = RunId::new(run).map_err(|error| bad_key(&error.to_string()))?;
        Ok(run.to_shared())
    }
}

/// Returns the parts of a request that its signature covers.
fn signed_part(request: &Request<Bytes>, signed: &Signed<'_>) -> Request<Bytes> {
    let mut part = Request::new(request.body().clone());
    if signed.covers == Covers::Route {
        *part.method_mut() = request.method().clone();
        // The path was parsed before, when the request arrived.
        *part.uri_mut() = signed.path.parse().unwrap_or_default();
    }
    for name in signed.headers {
        if let (Ok(name), Some(value)) =
            (HeaderName::from_bytes(name.as_bytes()), request.headers().get(name))
        {
            part.headers_mut().insert(name, value.clone());
        }
    }
    part
}

impl<E> fmt::Debug for Inbound<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound")
            .field("workflow", &self.workflow)
            .field("check", &self.check)
            .field("body_limit", &self.body_limit)
            .finish_non_exhaustive()
    }
}
