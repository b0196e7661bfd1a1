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

use super::invalid::Invalid;
use super::problem::{Problem, unless_it_panics};
use super::receive::{self, BODY_LIMIT, single};
use super::reply::{guarded, json, raw_json};
use super::signed::{Covers, SignatureCheck, Signed};
use super::start::{Ended, How, Pause, Start, needs_store};
use crate::signature::{IDEMPOTENCY_KEY, hex, random_bytes};

/// A request that becomes a run, whose value is the answer.
///
/// A request is read, checked, and becomes the [`input`](awaitly_core::Run::input) of a run; the value of the run comes
/// back as JSON. With an [idempotency key](Self::idempotency_header), a request that is sent again, because its answer was lost,
/// gets the same answer, and nothing is done twice.
///
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
///     #[error("nothing is left")]
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
///         OrderError::SoldOut => Problem::new(409, "sold_out", "nothing is left of it"),
///         OrderError::Run(error) => error.into(),
///     });
/// let app = axum::Router::new().route("/orders", orders.post());
/// # app
/// # }
/// ```
///
/// # Answers
/// 200 with the value. 202 with `{"run": "..", "status": "waiting"}` if the run waits for somebody, is parked, or waits in the
/// middle of an undo, whatever the error of the body shows; also if its body calls another run that waits. The same request,
/// sent again, gets the outcome later. Else a [`Problem`]:
///
/// | status | codes |
/// | --- | --- |
/// | 400 | `malformed`, `idempotency_key` (it is missing, twice there, or too long), `incomplete` |
/// | 401 | `unsigned`, `forged`, `stale` |
/// | 409 | `busy`: the same request is being worked on; `input_changed`: its key was used with another content |
/// | 413, 415, 422 | `too_large`; `unsupported_type`; `invalid` |
/// | 500 | `internal`: code of yours panicked, for example what reads the request; the panic is logged |
/// | others | what [`map_error`](Self::map_error) gives for an error of your own, and `Problem::from(&RunError)` for those of the library |
///
/// # Cancel safety
/// Where the client goes away, the server drops the run where it stands. What it has recorded stays: the next request
/// with the same key resumes it, and so does an [`AutoResume`](crate::AutoResume) that knows the workflow with the same
/// body. Without a store, and without a key, it is gone.
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
type MakeId = Arc<dyn Fn(&Request<Bytes>) -> Result<String, Invalid> + Send + Sync>;

/// What a run is known by.
enum Identity {
    /// Each request is another one.
    None,
    Header(Box<str>),
    Made(MakeId),
}

impl<E: AsRunError + Send + 'static> Inbound<E> {
    /// Requests that `parse` reads become runs of `workflow`, executed by `body`.
    pub fn new<X, P, I, F, Fut, T>(workflow: Workflow<X>, parse: P, body: F) -> Self
    where
        X: KeepRun<T, E> + 'static,
        P: Fn(&Request<Bytes>) -> Result<I, Invalid> + Send + Sync + 'static,
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

    /// Takes what stands in this header for what a request is known by; one without it is refused. The run id is the name
    /// of the workflow, a `/`, and that.
    ///
    /// Clients choose it: where they are not to learn of each other's runs, make the run id of who they are as well, by
    /// [`run_id`](Self::run_id).
    ///
    /// # Default
    /// Each request is a run of its own; with [`signed`](Self::signed), each `webhook-id`, or each signature in the form of
    /// before.
    ///
    /// # Panics
    /// Panics if the workflow has no store: the key would be ignored.
    #[must_use]
    pub fn idempotency_header(mut self, name: impl Into<Box<str>>) -> Self {
        needs_store(&self.workflow, self.has_store, "the idempotency key of a request");
        self.identity = Identity::Header(name.into());
        self
    }

    /// Makes the run id of a request. With [`signed`](Self::signed), `make` is shown only what the signature covers: the
    /// body, `webhook-id` and `webhook-timestamp`, and method and path if the signature covers them; in the form of before the
    /// headers of the time and of the idempotency key.
    ///
    /// # Panics
    /// Panics if the workflow has no store: the run id would be ignored.
    #[must_use]
    pub fn run_id(
        mut self,
        make: impl Fn(&Request<Bytes>) -> Result<String, Invalid> + Send + Sync + 'static,
    ) -> Self {
        needs_store(&self.workflow, self.has_store, "the run id of a request");
        self.identity = Identity::Made(Arc::new(make));
        self
    }

    /// Takes only what passes `check`. The idempotency key is part of what is signed: `webhook-id`, or in the form of before the
    /// header that was said, or else `idempotency-key`. A request that has both is refused unless they are the same.
    ///
    /// # Default
    /// Whoever reaches the server may ask: then let something in front of it see who that is.
    ///
    /// # Panics
    /// Panics if the workflow has no store: a replayed request would be executed again.
    #[must_use]
    pub fn signed(mut self, check: SignatureCheck) -> Self {
        needs_store(&self.workflow, self.has_store, "a signed request that is replayed");
        self.check = Some(check);
        self
    }

    /// What a client is told of an error of your own. Those in which there is a [`RunError`] do not come here.
    ///
    /// # Default
    /// [`Problem::internal`], and the error is logged.
    #[must_use]
    pub fn map_error(mut self, map: impl Fn(&E) -> Problem + Send + Sync + 'static) -> Self {
        self.map_error = Some(Arc::new(map));
        self
    }

    /// How many bytes the body of a request may have. One that has more is refused before all of it is read.
    ///
    /// # Default
    /// 64 KiB
    #[must_use]
    pub const fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// The route, for requests with `POST`.
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
            guarded(Problem::new(405, "method_not_allowed", "only `POST` is taken here").into_response())
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
                tracing::error!(run = &*run, %error, "a request could not be answered");
                Err(Problem::internal())
            }
        }
    }

    /// The run id of a request, if it may become a run.
    fn identify(&self, request: &Request<Bytes>) -> Result<Arc<str>, Problem> {
        let header = match &self.identity {
            Identity::Header(name) => name,
            _ => IDEMPOTENCY_KEY,
        };
        let bad_key = |message: &str| Problem::new(400, "idempotency_key", format!("`{header}`: {message}"));
        let key = single(request.headers(), header).map_err(|_| bad_key("say it once, and in ASCII"))?;
        let signed = match &self.check {
            Some(check) => Some(check.verify(request, header, key, SystemTime::now())?),
            None => None,
        };
        let run = match (&self.identity, &signed) {
            (Identity::Header(_), signed) => {
                // In the form of Standard Webhooks, the id is the key, and the same where both are there.
                let key = key.or_else(|| Some(signed.as_ref()?.id)).filter(|key| !key.is_empty());
                let key =
                    key.ok_or_else(|| bad_key("say what this request is known by, if it is sent again"))?;
                format!("{}/{key}", self.workflow)
            }
            (Identity::Made(make), None) => make(request)?,
            (Identity::Made(make), Some(signed)) => make(&signed_part(request, signed))?,
            (Identity::None, Some(Signed { covers: Covers::Old, headers, .. })) => {
                // Nothing but what was signed: so a replay is the same run.
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
                    tracing::error!(%error, "a request could not be answered");
                    Problem::internal()
                })?;
                format!("{}/{}", self.workflow, hex(&random))
            }
        };
        let run = RunId::new(run).map_err(|error| bad_key(&error.to_string()))?;
        Ok(run.to_shared())
    }
}

/// What of a request is covered by its signature.
fn signed_part(request: &Request<Bytes>, signed: &Signed<'_>) -> Request<Bytes> {
    let mut part = Request::new(request.body().clone());
    if signed.covers == Covers::Route {
        *part.method_mut() = request.method().clone();
        // It was read as a path before, with nothing in front of it.
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
