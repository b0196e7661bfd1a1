//! A resilient client of services that fail, hang and refuse in a fixed rhythm. Prints the results for each service.
//!
//! `cargo run --example flaky_api --features resilience`

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use awaitly::clock::{ms, secs};
use awaitly::resilience::adaptive_throttle::{Headers, Signal};
use awaitly::resilience::circuit_breaker::State;
use awaitly::resilience::{AdaptiveThrottle, CircuitBreaker, policy};
use awaitly::retry::Jitter;
use awaitly::{Error, Run, RunError, run};
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::sync::Mutex;

/// The number of calls to each service.
const CALLS: u32 = 12;

/// The time limit for an answer.
const PATIENCE: Duration = secs(1);

#[derive(Debug, thiserror::Error)]
enum ApiError {
    #[error("the service answered {status}")]
    Status { status: u16, headers: Headers },
    #[error("the service cannot be reached: {0}")]
    Unreachable(#[from] reqwest::Error),
}

impl ApiError {
    /// Returns whether another attempt can succeed.
    fn is_transient(&self) -> bool {
        !matches!(self, Self::Status { status: 400..500, .. })
            || matches!(self, Self::Status { status: 429, .. })
    }

    /// Returns the load of the service, as this error shows it.
    fn signal(&self) -> Signal {
        match self {
            Self::Status { status: 429, headers } => Signal::Overloaded { wait: headers.wait() },
            Self::Status { .. } => Signal::Accepted,
            Self::Unreachable(_) => Signal::Unknown,
        }
    }
}

/// The number of requests that each service has received.
type Requests = Arc<Mutex<BTreeMap<String, u32>>>;

/// Answers a request. Every third request to `flaky` fails, every sixth request to `slow` gets no answer, every sixth
/// request to `limited` is refused for ten milliseconds, and each request to `down` fails.
async fn answer(service: String, requests: Requests) -> axum::response::Response {
    let number = {
        let mut requests = requests.lock().await;
        let number = requests.entry(service.clone()).or_default();
        *number += 1;
        *number
    };
    match service.as_str() {
        "flaky" if number % 3 == 0 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        "slow" if number % 6 == 0 => {
            // In its own task: the client closes the connection at its time limit, which drops this future.
            tokio::spawn(skip(PATIENCE));
            pending().await
        }
        "limited" if number % 6 == 0 => {
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "0.01")]).into_response()
        }
        "down" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => format!("{service} {number}").into_response(),
    }
}

/// Advances tokio's clock without waiting, so that this program ends quickly. This needs a runtime with one thread.
async fn skip(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

struct Api {
    http: reqwest::Client,
    base: String,
}

impl Api {
    async fn get(&self, service: &str) -> Result<String, ApiError> {
        let response = self.http.get(format!("{}/{service}", self.base)).send().await?;
        let status = response.status().as_u16();
        let headers = Headers::read(status, |name| response.headers().get(name)?.to_str().ok());
        if response.status().is_success() {
            Ok(response.text().await?)
        } else {
            Err(ApiError::Status { status, headers })
        }
    }
}

/// The results of the calls to a service.
#[derive(Default)]
struct Took {
    answered: u32,
    failed: u32,
    refused: u32,
}

impl Took {
    fn count(&mut self, ended: &Result<String, Error<ApiError>>) {
        match ended {
            Ok(_) => self.answered += 1,
            Err(Error::Run(RunError::Refused { .. })) => self.refused += 1,
            Err(_) => self.failed += 1,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let requests = Requests::default();
    let counted = Arc::clone(&requests);
    let services = Router::new()
        .route("/{service}", get(move |Path(service): Path<String>| answer(service, Arc::clone(&counted))));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let api = Api { http: reqwest::Client::new(), base: format!("http://{}", listener.local_addr()?) };
    let server = tokio::spawn(async move { axum::serve(listener, services).await });

    let breaker = CircuitBreaker::options("down").failures(3).build();
    let throttle = AdaptiveThrottle::options("limited").judge(ApiError::signal).build();
    let calling = policy::STANDARD
        .merge(&policy::Policy::new().attempts(4).delay(ms(1)).jitter(Jitter::None).timeout(PATIENCE))
        .when(ApiError::is_transient);

    println!("service   calls  answered  failed  refused  requests");
    for service in ["steady", "flaky", "slow", "limited", "down"] {
        let mut took = Took::default();
        for _ in 0..CALLS {
            let ended = run(async |run: &Run| {
                let step = run.step(service, || api.get(service));
                match service {
                    "limited" => step.policy(calling.clone()).guard(&throttle).await,
                    // No retry, and after three failures the breaker refuses even the first attempt.
                    "down" => step.guard(&breaker).await,
                    _ => step.policy(calling.clone()).await,
                }
            });
            took.count(&ended.await);
        }
        let asked = requests.lock().await.get(service).copied().unwrap_or_default();
        let Took { answered, failed, refused } = took;
        println!("{service:<8} {CALLS:>6} {answered:>9} {failed:>7} {refused:>8} {asked:>9}");
    }
    assert_eq!(breaker.state(), State::Open);
    server.abort();
    Ok(())
}
