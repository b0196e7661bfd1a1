//! The routes of the service.

use awaitly::RunError;
use awaitly::clock::secs;
use awaitly::engine::{Client, StartError};
use awaitly::saga::SagaError;
use awaitly::store::{Cancelled, Dispatch};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};

use crate::order::{ORDER, OrderError};

type Response = (StatusCode, String);

pub(crate) fn router<S: Dispatch + Clone>(client: Client<S>) -> Router {
    let order = put(place::<S>).get(show::<S>).delete(cancel::<S>);
    Router::new().route("/orders/{id}", order).route("/schedules", get(schedules::<S>)).with_state(client)
}

/// Starts an order, and waits up to two seconds for its result. A repeated request starts no second order.
async fn place<S: Dispatch + Clone>(
    State(client): State<Client<S>>,
    Path(id): Path<String>,
    sku: String,
) -> Response {
    let order = match client.start(ORDER, id, &sku).queue("orders").await {
        Ok(order) => order,
        Err(error @ StartError::InputChanged { .. }) => return (StatusCode::CONFLICT, error.to_string()),
        Err(error @ StartError::InvalidRunId(_)) => return (StatusCode::BAD_REQUEST, error.to_string()),
        Err(error) => return (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    };
    match tokio::time::timeout(secs(2), order.result()).await {
        Ok(result) => ended(result),
        Err(_) => (StatusCode::ACCEPTED, "the order is being processed\n".to_owned()),
    }
}

/// Shows the state of an order.
async fn show<S: Dispatch + Clone>(State(client): State<Client<S>>, Path(id): Path<String>) -> Response {
    let Ok(order) = client.find(ORDER, id) else {
        return (StatusCode::BAD_REQUEST, "this is not the id of an order\n".to_owned());
    };
    match order.state().await {
        Ok(state) => (StatusCode::OK, format!("{state}\n")),
        Err(error @ RunError::NoSuchRun { .. }) => (StatusCode::NOT_FOUND, format!("{error}\n")),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

/// Cancels an order. The saga of the order gives the stock back.
async fn cancel<S: Dispatch + Clone>(State(client): State<Client<S>>, Path(id): Path<String>) -> Response {
    let Ok(order) = client.find(ORDER, id) else {
        return (StatusCode::BAD_REQUEST, "this is not the id of an order\n".to_owned());
    };
    match order.cancel().await {
        Ok(Cancelled::Requested | Cancelled::WithoutUndo) => {
            (StatusCode::ACCEPTED, "the order is being cancelled\n".to_owned())
        }
        Ok(Cancelled::NoSuchRun) => (StatusCode::NOT_FOUND, "there is no such order\n".to_owned()),
        Ok(_) => (StatusCode::CONFLICT, "it is too late to cancel the order\n".to_owned()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

async fn schedules<S: Dispatch + Clone>(State(client): State<Client<S>>) -> Response {
    match client.schedules(None).await {
        Ok(schedules) => {
            let lines =
                schedules.iter().map(|schedule| format!("{schedule}, {} times ahead\n", schedule.next.len()));
            (StatusCode::OK, lines.collect())
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

fn ended(result: Result<u64, SagaError<OrderError>>) -> Response {
    match result {
        Ok(cents) => (StatusCode::OK, format!("paid {cents} cents\n")),
        Err(error) if *error.error() == OrderError::SoldOut => (StatusCode::CONFLICT, format!("{error}\n")),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
