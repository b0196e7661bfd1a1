use std::sync::{Arc, Mutex};

use awaitly_core::clock::{ms, secs};
use awaitly_core::{DurableRun, RunError};
use awaitly_engine::{Contract, Queue, Rate, RunHandle, Worker};
use futures_util::future::join_all;

use crate::world::{Gauge, SUM, memory, sum, work};

const NOTE: Contract<String, (), RunError> = Contract::new("note");

#[tokio::test(start_paused = true)]
async fn worker_and_queue_limit_the_concurrent_runs() {
    for (worker_limit, queue_limit, expected) in [(3, None, 3), (100, Some(4), 4), (2, Some(4), 2)] {
        let (store, client) = memory();
        let gauge = Gauge::default();
        let counted = gauge.clone();
        let body = move |_: DurableRun, _: String| {
            let gauge = counted.clone();
            async move {
                gauge.during(tokio::time::sleep(ms(50))).await;
                Ok(())
            }
        };
        let queue = Queue::new("notes");
        let queue = queue_limit.map_or(queue.clone(), |limit| queue.concurrency(limit));
        let worker = Worker::new(store).serve(NOTE, body).queue(queue).concurrency(worker_limit);
        let notes = (0..20).map(|number| (format!("n{number}"), String::new()));
        let notes = client.start_many(NOTE, notes).queue("notes").await.unwrap();
        work(&worker, join_all(notes.iter().map(|note| note.as_ref().unwrap().result()))).await;
        assert_eq!((gauge.most(), gauge.total()), (expected, 20));
    }
}

#[tokio::test(start_paused = true)]
async fn rate_spreads_the_starts_of_a_queue() {
    let (store, client) = memory();
    let starts = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&starts);
    let body = move |_: DurableRun, _: String| {
        noted.lock().unwrap().push(tokio::time::Instant::now());
        async { Ok(()) }
    };
    let worker = Worker::new(store).serve(NOTE, body).queue(Queue::new("notes").rate(Rate::per_second(10)));
    let notes = (0..30).map(|number| (format!("n{number}"), String::new()));
    let notes = client.start_many(NOTE, notes).queue("notes").await.unwrap();
    work(&worker, join_all(notes.iter().map(|note| note.as_ref().unwrap().result()))).await;
    let starts = starts.lock().unwrap();
    let took = *starts.last().unwrap() - starts[0];
    assert!(took >= ms(2890) && took < ms(3300), "{took:?}");
    let most = starts.iter().map(|at| starts.iter().filter(|one| (*at..*at + secs(1)).contains(one)).count());
    assert!(most.max() <= Some(10));
}

#[tokio::test(start_paused = true)]
async fn priorities_and_pauses_take_effect() {
    let (store, client) = memory();
    let order = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&order);
    let body = move |_: DurableRun, text: String| {
        noted.lock().unwrap().push(text);
        async { Ok(()) }
    };
    let worker = Worker::new(store).serve(NOTE, body).concurrency(1);
    client.pause_queue("").await.unwrap();
    let mut runs = Vec::new();
    for (run, priority) in [("usual", 0), ("urgent", 10), ("lazy", -10), ("paused", 100)] {
        runs.push(client.start(NOTE, run, &run.to_owned()).priority(priority).await.unwrap());
    }
    assert!(runs[3].pause().await.unwrap() && !runs[3].pause().await.unwrap());
    assert_eq!(runs[3].state().await.unwrap().to_string(), "queued, paused");
    let done = async {
        tokio::time::sleep(secs(60)).await;
        assert!(!runs[0].has_ended().await.unwrap(), "the queue is paused");
        client.resume_queue("").await.unwrap();
        join_all(runs[..3].iter().map(RunHandle::result)).await;
        assert!(runs[3].resume().await.unwrap());
        runs[3].result().await
    };
    work(&worker, done).await.unwrap();
    assert_eq!(*order.lock().unwrap(), ["urgent", "usual", "lazy", "paused"]);
}

#[tokio::test(start_paused = true)]
async fn tick_executes_all_due_runs_even_if_a_queue_admits_one_at_a_time() {
    let (store, client) = memory();
    let runs = (0..5_u64).map(|number| (number.to_string(), vec![number]));
    client.start_many(SUM, runs).queue("one").await.unwrap();
    let worker = Worker::new(store).serve(SUM, sum).queue(Queue::new("one").concurrency(1));
    let ticked = worker.tick(secs(10)).await.unwrap();
    assert!(ticked.idle);
    assert_eq!(ticked.executed, 5);
    let again = worker.tick(secs(10)).await.unwrap();
    assert_eq!((again.idle, again.executed), (true, 0));
}

#[tokio::test(start_paused = true)]
async fn declared_queue_keeps_the_settings_of_an_operator() {
    let (store, client) = memory();
    let worker = || Worker::new(store.clone()).serve(SUM, sum).queue(Queue::new("q").concurrency(1));
    worker().tick(secs(1)).await.unwrap();
    client.set_queue(Queue::new("q").concurrency(9)).await.unwrap();
    worker().tick(secs(1)).await.unwrap();
    assert_eq!(client.queues().await.unwrap()[0].settings.concurrency, Some(9));
}
