//! The processes whose deaths are tested. Each one starts its runs, works until they have ended, and returns the results.

use std::future::IntoFuture;

use awaitly_core::clock::{days, mins, secs};
use awaitly_core::journal::Timestamp;
use awaitly_core::retry::Jitter;
use awaitly_core::store::{Dispatch, Unsent};
use awaitly_core::{DurableRun, Error, Retry, RunError, step};
use awaitly_engine::{Client, Contract, Follow, RunExt, RunHandle, Schedule, SendError, Worker};
use awaitly_testing::crash::{CrashStore, World};
use futures_util::future::{join, join_all};
use serde::{Deserialize, Serialize};

use super::super::Shop;
use super::{body, shop, text, work, work_both};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Refused {
    #[error("refused")]
    Refused,
    #[error(transparent)]
    Run(#[from] RunError),
}

const ORDER: Contract<u64, u64, RunError> = Contract::new("order");
const FAMILY: Contract<(), (u64, bool), RunError> = Contract::new("family");
const PART: Contract<u64, u64, Refused> = Contract::new("part");
const CHAT: Contract<u64, Vec<String>, RunError> = Contract::new("chat");
const LOOP: Contract<u64, u64, RunError> = Contract::new("loop");
const PICKY: Contract<(), u64, Refused> = Contract::new("picky");
const PARENT: Contract<(), u64, Error<Refused>> = Contract::new("parent");

async fn order(run: DurableRun, cents: u64, shop: Shop) -> Result<u64, RunError> {
    let hold = step!(run, "reserve", shop.act("reserve", run.idempotency_key("reserve")));
    let paid = step!(run, "charge", shop.act("charge", run.idempotency_key("charge")));
    Ok(hold + paid + cents)
}

/// A client starts a run of two steps.
pub(crate) async fn two_steps<S: Dispatch>(world: World<S>) -> Result<u64, String> {
    let worker = world
        .worker()
        .serve(ORDER, body!(shop(&world), |run, cents: u64, shop| order(run, cents, shop).await));
    let order = world.client().start(ORDER, "order", &1).await.map_err(text)?;
    work(&worker, order.result()).await?.map_err(text)
}

/// A run with two children at once, one of which fails.
pub(crate) async fn children<S: Dispatch>(world: World<S>) -> Result<(u64, bool), String> {
    let part = body!(shop(&world), |run, number: u64, shop| {
        let what = format!("part {number}");
        let made = step!(run, "make", shop.act(&what, run.idempotency_key("make")));
        step!(run.sleep("dry", secs(20)));
        if number == 13 { Err(Refused::Refused) } else { Ok(made + number) }
    });
    let family = async |run: DurableRun, ()| {
        let (one, two) = (run.child(PART, "one", &1), run.child(PART, "two", &13));
        let (one, two) = join(one.into_future(), two.into_future()).await;
        let run_error = |error| match error {
            Error::Run(error) | Error::Failed(Refused::Run(error)) => error,
            Error::Failed(Refused::Refused) => RunError::Empty { what: "part".into() },
        };
        let is_refused = matches!(two, Err(Error::Failed(Refused::Refused)));
        match two {
            Err(error) if !is_refused => Err(run_error(error)),
            _ => Ok((one.map_err(run_error)?, is_refused)),
        }
    };
    let worker = world.worker().serve(FAMILY, family).serve(PART, part);
    let run = world.client().start(FAMILY, "family", &()).await.map_err(text)?;
    work(&worker, run.result()).await?.map_err(text)
}

async fn chat(run: DurableRun, messages: u64, shop: Shop) -> Result<Vec<String>, RunError> {
    let mut heard = Vec::new();
    for number in 0..messages {
        let message: String = step!(run.receive("chat"));
        let key = run.idempotency_key(&format!("answer {number}"));
        step!(run, "answer", shop.act(&format!("answer {message}"), key));
        run.publish("heard", &message).await?;
        heard.push(message);
    }
    Ok(heard)
}

type Chat<S> = RunHandle<CrashStore<S>, Vec<String>, RunError>;

/// Sends a message, unless the run has heard all its messages from an earlier process.
async fn say<S: Dispatch>(run: &Chat<S>, message: &str) -> Result<(), String> {
    match run.send("chat", message).id(message).await {
        Ok(()) | Err(SendError::Unsent(Unsent::Ended { .. })) => Ok(()),
        Err(error) => Err(text(error)),
    }
}

/// A run receives a message that came before its start, one that comes while it works, and one for which it waits.
pub(crate) async fn mail<S: Dispatch>(world: World<S>) -> Result<(Vec<String>, Option<String>), String> {
    let worker = world
        .worker()
        .serve(CHAT, body!(shop(&world), |run, messages: u64, shop| chat(run, messages, shop).await));
    let run: Chat<S> = world.client().start(CHAT, "chat", &3).await.map_err(text)?;
    say(&run, "before").await?;
    let done = async {
        say(&run, "meanwhile").await?;
        tokio::time::sleep(secs(5)).await;
        say(&run, "later").await?;
        run.result().await.map_err(text)
    };
    let heard = work(&worker, done).await??;
    Ok((heard, run.published("heard").await.map_err(text)?))
}

fn workers<S: Dispatch>(world: &World<S>) -> [Worker<CrashStore<S>>; 2] {
    [(); 2].map(|()| {
        world.worker().serve(ORDER, body!(shop(world), |run, cents: u64, shop| order(run, cents, shop).await))
    })
}

/// Waits until the runs exist and have ended, and returns their results.
async fn results<S: Dispatch>(client: &Client<CrashStore<S>>, runs: &[String]) -> Result<Vec<u64>, String> {
    let mut results = Vec::new();
    for run in runs {
        let run = client.find(ORDER, run.as_str()).map_err(text)?;
        loop {
            match run.result().await {
                Err(RunError::NoSuchRun { .. }) => tokio::time::sleep(secs(30)).await,
                result => break results.push(result.map_err(text)?),
            }
        }
    }
    Ok(results)
}

/// A schedule starts three runs, which two workers execute.
pub(crate) async fn schedule<S: Dispatch>(world: World<S>) -> Result<Vec<u64>, String> {
    let client = world.client();
    let often = client.schedule("often", Schedule::every(mins(10)), ORDER, &1).await.map_err(text)?;
    let runs = [10, 20, 30].map(|minute| format!("often@2000-01-01T00:{minute}:00Z"));
    let results = work_both(&workers(&world), results(&client, &runs)).await??;
    often.delete().await.map_err(text)?;
    Ok(results)
}

/// Two workers execute the runs that an operator starts for past times of a schedule.
pub(crate) async fn backfill<S: Dispatch>(world: World<S>) -> Result<Vec<u64>, String> {
    let client = world.client();
    let yearly = Schedule::cron("0 3 1 1 *");
    let yearly = client.schedule("yearly", yearly, ORDER, &1).await.map_err(text)?;
    let january = Timestamp::from_millis(0)..Timestamp::from_millis(0).after(days(3 * 365));
    let runs = yearly.backfill(january).await.map_err(text)?;
    let runs: Vec<_> = runs.iter().map(ToString::to_string).collect();
    let results = work_both(&workers(&world), results(&client, &runs)).await??;
    yearly.delete().await.map_err(text)?;
    Ok(results)
}

/// A run that starts again twice, with a stream.
pub(crate) async fn rounds<S: Dispatch>(world: World<S>) -> Result<(u64, Vec<String>), String> {
    let rounds = body!(shop(&world), |run, round: u64, shop| {
        let mut log = run.stream("log");
        log.append(&format!("round {round} begins")).await?;
        let name = format!("work {round}");
        step!(run, "work", shop.act(&name, run.idempotency_key(&name)));
        log.append(&format!("round {round} ends")).await?;
        if round < 3 { Err(run.restart(&(round + 1))) } else { Ok(round) }
    });
    let worker = world.worker().serve(LOOP, rounds);
    let run = world.client().start(LOOP, "loop", &1).await;
    let run = match run {
        // The run has another input since it started again.
        Err(awaitly_engine::StartError::InputChanged { .. }) => {
            world.client().find(LOOP, "loop").map_err(text)?
        }
        run => run.map_err(text)?,
    };
    let last = work(&worker, run.result()).await?.map_err(text)?;
    Ok((last, run.stream("log", 0, Follow::Never).await.map_err(text)?))
}

/// A worker stops in the middle of a run, and another one continues it.
pub(crate) async fn drain<S: Dispatch>(world: World<S>) -> Result<u64, String> {
    let slow = body!(shop(&world), |run, cents: u64, shop| {
        let mut sum = cents;
        for name in ["reserve", "charge", "ship"] {
            let shop = &shop;
            let key = run.idempotency_key(name);
            sum += step!(run, name, async move {
                tokio::time::sleep(secs(20)).await;
                shop.act(name, key).await
            });
        }
        Ok(sum)
    });
    let client = world.client();
    let (run, other) = (client.start(ORDER, "order", &1).await, client.start(ORDER, "other", &2).await);
    let (run, other) = (run.map_err(text)?, other.map_err(text)?);
    let worker = world.worker().serve(ORDER, slow).grace(secs(5));
    worker.run_until(tokio::time::sleep(secs(30))).await.map_err(text)?;
    let (one, two) = work(&worker, join(run.result(), other.result())).await?;
    Ok(one.map_err(text)? + two.map_err(text)?)
}

/// A service that refuses its first three calls. A process may die with the refusal, so that its run does not fail.
async fn refuses_at_first(shop: &Shop, key: String) -> Result<u64, Refused> {
    if shop.ledger.effects().iter().filter(|effect| *effect == "refusal").count() < 3 {
        shop.ledger.note("refusal");
        return Err(Refused::Refused);
    }
    Ok(shop.act("charge", key).await?)
}

fn four_times() -> Retry {
    Retry::fixed(mins(2)).max_delay(mins(2)).jitter(Jitter::None).attempts(4)
}

/// A run that is retried, from the step that failed.
pub(crate) async fn retries<S: Dispatch>(world: World<S>) -> Result<u64, String> {
    let picky = body!(shop(&world), |run, _input: (), shop| {
        let hold = step!(run, "reserve", shop.act("reserve", run.idempotency_key("reserve")));
        let charge = || refuses_at_first(&shop, run.idempotency_key("charge"));
        match run.step("charge", charge).await {
            Ok(paid) => Ok(hold + paid),
            Err(Error::Failed(error)) => Err(error),
            Err(Error::Run(error)) => Err(error.into()),
        }
    });
    let worker = world.worker().serve_with(PICKY, |workflow| workflow.retry_runs(four_times()), picky);
    let run = world.client().start(PICKY, "picky", &()).await.map_err(text)?;
    work(&worker, run.result()).await?.map_err(text)
}

/// A run whose child fails: each retry of the run retries the child.
pub(crate) async fn retried_child<S: Dispatch>(world: World<S>) -> Result<u64, String> {
    let picky = body!(shop(&world), |run, _input: (), shop| {
        let charge = || refuses_at_first(&shop, run.idempotency_key("charge"));
        match run.step("charge", charge).await {
            Ok(paid) => Ok(paid),
            Err(Error::Failed(error)) => Err(error),
            Err(Error::Run(error)) => Err(error.into()),
        }
    });
    let parent = async |run: DurableRun, ()| Ok(step!(run.child(PICKY, "child", &())));
    let worker = world.worker().serve(PICKY, picky);
    let worker = worker.serve_with(PARENT, |workflow| workflow.retry_runs(four_times()), parent);
    let run = world.client().start(PARENT, "parent", &()).await.map_err(text)?;
    work(&worker, run.result()).await?.map_err(text)
}

/// Several runs in a limited queue.
pub(crate) async fn queue<S: Dispatch>(world: World<S>) -> Result<Vec<u64>, String> {
    let worker = world.worker().serve(
        ORDER,
        body!(shop(&world), |run, cents: u64, shop| {
            let what = format!("charge {cents}");
            Ok(step!(run, "charge", shop.act(&what, run.idempotency_key("charge"))))
        }),
    );
    let worker = worker.queue(awaitly_engine::Queue::new("orders").concurrency(1));
    let orders = (1..=3_u64).map(|number| (format!("order-{number}"), number));
    let orders = world.client().start_many(ORDER, orders).queue("orders").await.map_err(text)?;
    let orders: Vec<_> = orders.into_iter().collect::<Result<_, _>>().map_err(text)?;
    let results = work(&worker, join_all(orders.iter().map(RunHandle::result))).await?;
    results.into_iter().collect::<Result<_, _>>().map_err(text)
}
