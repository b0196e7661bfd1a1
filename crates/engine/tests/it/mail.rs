use awaitly_core::clock::{days, hours, ms, secs};
use awaitly_core::store::Unsent;
use awaitly_core::{DurableRun, RunError, step};
use awaitly_engine::{Contract, Follow, RunExt, SendError, Worker};

use crate::world::{memory, work};

const CHAT: Contract<u64, Vec<String>, RunError> = Contract::new("chat");

/// Receives this many messages.
async fn chat(run: DurableRun, messages: u64) -> Result<Vec<String>, RunError> {
    let mut heard = Vec::new();
    for _ in 0..messages {
        let message: String = step!(run.receive("chat"));
        heard.push(message);
    }
    Ok(heard)
}

#[tokio::test(start_paused = true)]
async fn messages_arrive_in_order_whenever_they_are_sent() {
    let (store, client) = memory();
    let worker = Worker::new(store).serve(CHAT, chat);
    let run = client.start(CHAT, "a", &4).await.unwrap();
    run.send("chat", "before the start").await.unwrap();
    let done = async {
        tokio::time::sleep(hours(1)).await;
        assert_eq!(run.state().await.unwrap().to_string(), "waiting for `chat#2`");
        run.send("chat", "while it waits").id("1").await.unwrap();
        run.send("chat", "again").id("1").await.unwrap();
        run.send("other", "elsewhere").await.unwrap();
        run.send("chat", "third").await.unwrap();
        tokio::time::sleep(days(1)).await;
        run.send("chat", "fourth").await.unwrap();
        run.result().await
    };
    let heard = work(&worker, done).await.unwrap();
    assert_eq!(heard, ["before the start", "while it waits", "third", "fourth"]);
    let late = run.send("chat", "late").await;
    assert!(matches!(late, Err(SendError::Unsent(Unsent::Ended { .. }))), "{late:?}");
    let missing = client.find(CHAT, "missing").unwrap().send("chat", "hello").await.unwrap_err();
    assert_eq!(missing.to_string(), "there is no such run: check the run id");
}

#[tokio::test(start_paused = true)]
async fn message_that_does_not_come_in_time_expires() {
    const LATE: Contract<(), bool, RunError> = Contract::new("late");
    let (store, client) = memory();
    let late = async |run: DurableRun, ()| match run.receive::<String>("chat").within(hours(2)).await {
        Err(RunError::Expired { .. }) => Ok(false),
        message => message.map(|_| true),
    };
    let worker = Worker::new(store).serve(LATE, late);
    let begun = tokio::time::Instant::now();
    let (silent, told) =
        (client.start(LATE, "a", &()).await.unwrap(), client.start(LATE, "b", &()).await.unwrap());
    let done = async {
        tokio::time::sleep(hours(1)).await;
        told.send("chat", "hello").await.unwrap();
        (told.result().await, silent.result().await)
    };
    assert_eq!(work(&worker, done).await, (Ok(true), Ok(false)));
    assert!(begun.elapsed() < hours(2) + secs(5));
}

#[tokio::test(start_paused = true)]
async fn undecodable_message_fails_the_run_until_it_is_retried() {
    const NUMBER: Contract<(), u64, RunError> = Contract::new("number");
    let (store, client) = memory();
    let number = async |run: DurableRun, ()| Ok(step!(run.receive("number")));
    let worker = Worker::new(store).serve(NUMBER, number);
    let run = client.start(NUMBER, "a", &()).await.unwrap();
    run.send("number", "seven").await.unwrap();
    let failed = work(&worker, run.result()).await;
    assert!(matches!(failed, Err(RunError::Undecodable { .. })), "{failed:?}");
    assert!(run.retry().await.unwrap());
    run.send("number", &7).await.unwrap();
    assert_eq!(work(&worker, run.result()).await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn stream_has_each_item_once_and_is_followed() {
    const LOG: Contract<u64, (), RunError> = Contract::new("log");
    let (store, client) = memory();
    let log = async |run: DurableRun, lines: u64| {
        let mut log = run.stream("log");
        for line in 0..lines {
            log.append(&line).await?;
            run.publish("progress", &(line as f64 / lines as f64)).await?;
            // The execution ends here, and the next one appends the first lines again.
            step!(run.sleep(format!("after {line}"), secs(10)));
        }
        Ok(())
    };
    let worker = Worker::new(store).serve(LOG, log);
    let run = client.start(LOG, "a", &5).await.unwrap();
    let following = async {
        let mut lines: Vec<u64> = Vec::new();
        loop {
            let more: Vec<u64> = run.stream("log", lines.len() as u64, Follow::Wait).await.unwrap();
            if more.is_empty() {
                return lines;
            }
            lines.extend(more);
            let progress: Option<f64> = run.published("progress").await.unwrap();
            assert!(progress.is_some());
        }
    };
    assert_eq!(work(&worker, following).await, [0, 1, 2, 3, 4]);
    assert_eq!(run.stream::<u64>("log", 3, Follow::Never).await.unwrap(), [3, 4]);
    assert_eq!(run.published::<f64>("progress").await.unwrap(), Some(0.8));
    assert!(matches!(run.published::<String>("progress").await, Err(RunError::Undecodable { .. })));
    tokio::time::sleep(ms(1)).await;
}
