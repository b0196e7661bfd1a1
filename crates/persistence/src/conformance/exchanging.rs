//! The promises about mail, children, published values and schedules.

use std::sync::Arc;
use std::time::Duration;

use awaitly_core::dispatch::ChildQuestion;
use awaitly_core::journal::{Kind, Outcome, Payload, Status};
use awaitly_core::store::{
    Cancelled, Dispatch, Ending, Held, Message, Publish, PutSchedule, ScheduleQuery, Start, StoreError,
    StreamPart, Unsent, Wait,
};
use futures_util::future::join_all;

use super::dispatching::{Desk, HOUR, names};
use super::ok;

fn text(text: &str) -> Payload {
    Payload::encode(text).expect("text has a JSON form")
}

impl<S: Dispatch> Desk<'_, S> {
    /// Starts a run, and returns it claimed.
    async fn running(&self, run: &str) -> Held {
        self.submit([self.run(run)]).await;
        self.held(1).await.remove(0)
    }

    async fn send(&self, run: &str, mailbox: &str, messages: &[&str]) -> Vec<Result<(), Unsent>> {
        let message = |message: &&str| Message::new(self.id(run), mailbox, text(message));
        ok("send", self.store.send(messages.iter().map(message).collect()).await)
    }

    async fn receive(&self, held: &Held, mailbox: &str, key: &str) -> Option<Outcome> {
        ok("receive", self.store.receive(&held.lease, mailbox.into(), key.to_owned().into()).await)
    }

    async fn wait(&self, held: &Held, key: &str) {
        let token = format!("{}-{key}", self.name).into();
        let wait = Wait { key: key.to_owned().into(), token, request: text("mail?"), expires_in: None };
        ok("wait", self.store.wait(&held.lease, wait).await);
    }

    /// Asks for the outcome of a child under a key that equals its name.
    async fn wait_for_child(&self, held: &Held, key: &str, child: &str) {
        let child = self.id(child);
        let question = ChildQuestion { child, workflow: Arc::clone(&self.name), continues: false };
        let request = Payload::encode(&question).expect("a question has a JSON form");
        let token = format!("{}-{key}", self.name).into();
        let wait = Wait { key: key.to_owned().into(), token, request, expires_in: None };
        ok("wait", self.store.wait(&held.lease, wait).await);
    }

    /// Ends the execution of a run that waits under `key`.
    async fn rest(&self, held: &Held, key: &str) {
        self.rest_on(held, &[key]).await;
    }

    async fn rest_on(&self, held: &Held, keys: &[&str]) {
        let waits_on = keys.iter().map(|key| (*key).to_owned().into()).collect();
        let rest = Ending { waits_on, ..Ending::new(Status::Waiting) };
        ok("finish", self.store.finish(&held.lease, rest).await);
    }
}

fn received(message: &str) -> Option<Outcome> {
    Some(Outcome::Value(text(message)))
}

/// A run receives the messages of a mailbox in their order, each once, and records them.
pub(super) async fn messages_are_received_in_order_and_once<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "mail");
    desk.submit([desk.run("a")]).await;
    assert_eq!(desk.send("a", "note", &["one", "two \0", "three"]).await, [Ok(()), Ok(()), Ok(())]);
    assert_eq!(desk.send("a", "other", &["else"]).await, [Ok(())]);
    let held = desk.held(1).await.remove(0);
    assert_eq!(desk.receive(&held, "note", "first").await, received("one"));
    assert_eq!(desk.receive(&held, "note", "first").await, received("one"), "it is recorded under the key");
    assert_eq!(desk.receive(&held, "note", "second").await, received("two \0"));
    assert_eq!(desk.receive(&held, "empty", "third").await, None);
    store.release(&held.lease);
    let again = desk.held(1).await.remove(0);
    let keys: Vec<_> = again.run.records.iter().map(|record| &*record.key).collect();
    assert_eq!(keys, ["first", "second"]);
    assert_eq!(desk.receive(&again, "note", "third").await, received("three"));
    assert_eq!(desk.receive(&again, "note", "fourth").await, None);
    let late = store.receive(&held.lease, "other".into(), "late".into()).await;
    assert!(matches!(late, Err(StoreError::LeaseLost { .. })), "a lost lease receives nothing: {late:?}");
    assert_eq!(desk.receive(&again, "other", "fifth").await, received("else"));
}

/// A message with an id is sent once. A message to a run that has ended or does not exist is refused.
pub(super) async fn message_is_sent_once_and_only_to_open_runs<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "sent");
    let held = desk.running("a").await;
    let message = |id: &str, content: &str| Message::new(desk.id("a"), "note", text(content)).id(id);
    let batch = vec![message("1", "one"), message("1", "again"), message("2", "two")];
    assert_eq!(ok("send", store.send(batch).await), [Ok(()), Ok(()), Ok(())]);
    assert_eq!(desk.receive(&held, "note", "first").await, received("one"));
    assert_eq!(ok("send", store.send(vec![message("1", "late")]).await), [Ok(())]);
    assert_eq!(desk.receive(&held, "note", "second").await, received("two"));
    assert_eq!(desk.receive(&held, "note", "third").await, None);
    let large = Message::new(desk.id("a"), "note", text(&"x".repeat(Message::MAX_BYTES)));
    let missing = Message::new(desk.id("missing"), "note", text("hello"));
    let refused = ok("send", store.send(vec![missing, large, message("3", "three")]).await);
    assert!(
        matches!(refused[..], [Err(Unsent::NoSuchRun), Err(Unsent::TooLarge { .. }), Ok(())]),
        "{refused:?}"
    );
    desk.finish(&held, Status::Completed).await;
    let ended = Err(Unsent::Ended { status: Status::Completed });
    assert_eq!(desk.send("a", "note", &["late"]).await, [ended]);
}

/// A message makes a waiting run due, even if it arrives while the run is on its way to wait.
pub(super) async fn message_wakes_a_waiting_run<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "woken");
    let waiting = desk.running("a").await;
    assert_eq!(desk.receive(&waiting, "note", "first").await, None);
    desk.wait(&waiting, "first").await;
    desk.rest(&waiting, "first").await;
    assert!(desk.held(1).await.is_empty(), "it waits");
    desk.send("a", "note", &["one"]).await;
    let woken = desk.held(1).await.remove(0);
    assert_eq!(desk.receive(&woken, "note", "first").await, received("one"));
    let stored = desk.stored("a").await;
    assert!(stored.waits.is_empty(), "the message replaces the entry");
    assert_eq!(desk.receive(&woken, "note", "second").await, None);
    desk.wait(&woken, "second").await;
    desk.send("a", "note", &["two"]).await;
    desk.rest(&woken, "second").await;
    let again = desk.held(1).await.remove(0);
    assert_eq!(desk.receive(&again, "note", "second").await, received("two"));
}

/// A run that waits on two mailboxes becomes due if a message arrives in the first one after the run looked there, although
/// the run finds the second one empty later.
pub(super) async fn message_wakes_a_run_that_found_another_mailbox_empty_since<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "two mailboxes");
    let held = desk.running("a").await;
    assert_eq!(desk.receive(&held, "note", "first").await, None);
    desk.wait(&held, "first").await;
    desk.send("a", "note", &["one"]).await;
    assert_eq!(desk.receive(&held, "other", "second").await, None);
    desk.wait(&held, "second").await;
    desk.rest_on(&held, &["first", "second"]).await;
    let woken = desk.held(1).await.pop().expect("the message is not missed");
    assert_eq!(desk.receive(&woken, "note", "first").await, received("one"));
}

/// A message in a mailbox from which the run does not receive causes one execution, and does not make the run due forever.
pub(super) async fn unread_message_of_another_mailbox_wakes_a_run_once<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "unread");
    desk.submit([desk.run("a")]).await;
    desk.send("a", "other", &["too early"]).await;
    let held = desk.held(1).await.remove(0);
    assert_eq!(desk.receive(&held, "note", "first").await, None);
    desk.wait(&held, "first").await;
    desk.rest(&held, "first").await;
    assert!(desk.held(1).await.is_empty(), "the message came before the execution began");
    desk.send("a", "other", &["else"]).await;
    let woken = desk.held(1).await.remove(0);
    ok("revive", store.revive(&woken.lease, vec![]).await);
    desk.send("a", "other", &["again"]).await;
    assert_eq!(desk.receive(&woken, "note", "first").await, None);
    desk.rest(&woken, "first").await;
    let again = desk.held(1).await.remove(0);
    ok("revive", store.revive(&again.lease, vec![]).await);
    assert_eq!(desk.receive(&again, "note", "first").await, None);
    desk.rest(&again, "first").await;
    assert!(desk.held(1).await.is_empty(), "no message came since the run was revived");
}

/// If many senders and the receiver work at once, each message is received once.
pub(super) async fn of_many_messages_at_once_each_is_received_once<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "many messages");
    let held = desk.running("a").await;
    let sent = join_all((0..20).map(async |number: u32| {
        assert_eq!(desk.send("a", "note", &[&number.to_string()]).await, [Ok(())]);
    }));
    let receiving = async {
        let mut found = Vec::new();
        while found.len() < 20 {
            found.extend(desk.receive(&held, "note", &format!("note {}", found.len())).await);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        found
    };
    let (_, found) = futures_util::future::join(sent, receiving).await;
    let mut numbers: Vec<u32> = found
        .iter()
        .map(|one| one.payload().decode::<String>().expect("text").parse().expect("a number"))
        .collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..20));
}

/// When a child ends, the store answers the entry of its parent with the outcome of the child, and the parent is due.
pub(super) async fn child_answers_its_parent<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "child");
    let parent = desk.running("parent").await;
    for key in ["completed", "failed", "cancelled", "late"] {
        desk.wait_for_child(&parent, key, key).await;
    }
    let child = |run: &str| desk.run(run).child_of(desk.id("parent"), run.to_owned());
    let now = ok("now", store.now().await);
    desk.submit([child("completed"), child("failed"), child("cancelled").start(Start::In(HOUR))]).await;
    desk.submit([child("late").start_by(now.before(HOUR)), child("nobody waits")]).await;
    desk.rest_on(&parent, &["completed", "failed", "cancelled", "late"]).await;
    let held = desk.held(9).await;
    let mut claimed = names(&held);
    claimed.sort();
    // The end of the late child has made the parent due.
    assert!(
        claimed == ["completed", "failed", "nobody waits"] || claimed.contains(&"parent".to_owned()),
        "{claimed:?}"
    );
    for one in &held {
        match names(std::slice::from_ref(one))[0].as_str() {
            "parent" => store.release(&one.lease),
            "failed" => desk.finish(one, Status::Failed).await,
            _ => desk.finish(one, Status::Completed).await,
        }
    }
    assert_eq!(ok("cancel", store.cancel(&desk.id("cancelled")).await), Cancelled::WithoutUndo);
    let parent = desk.held(9).await.remove(0);
    let kind = |key: &str| {
        let record = parent.run.records.iter().find(|record| *record.key == *key);
        record.map(|record| record.outcome.kind())
    };
    assert_eq!(kind("completed"), Some(Kind::Value));
    assert_eq!(kind("failed"), Some(Kind::Failed));
    assert_eq!((kind("cancelled"), kind("late")), (Some(Kind::Stopped), Some(Kind::Stopped)));
    assert_eq!((kind("nobody waits"), parent.run.waits.len()), (None, 0));
    assert_eq!(
        desk.stored("completed").await.header.parent.map(|parent| parent.run),
        Some(desk.id("parent"))
    );
}

/// A run that was restarted may wait for another child under a key of an older child, which does not answer it.
pub(super) async fn child_does_not_answer_a_question_about_another_child<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "older child");
    let before = desk.running("parent").await;
    desk.wait_for_child(&before, "job", "old \"\\ job").await;
    let child = |run: &str| desk.run(run).child_of(desk.id("parent"), "job");
    desk.submit([child("old \"\\ job")]).await;
    let old = desk.held(1).await.remove(0);
    ok("restart", store.restart(&before.lease, None).await);
    let parent = desk.held(1).await.remove(0);
    desk.wait_for_child(&parent, "job", "new \"\\ job").await;
    desk.submit([child("new \"\\ job")]).await;
    desk.rest(&parent, "job").await;
    desk.finish(&old, Status::Failed).await;
    let new = desk.held(9).await;
    assert_eq!(names(&new), ["new \"\\ job"], "the parent waits for the new child");
    desk.finish(&new[0], Status::Completed).await;
    let parent = desk.held(9).await.pop().expect("the new child answers its parent");
    let kinds: Vec<_> = parent.run.records.iter().map(|record| record.outcome.kind()).collect();
    assert_eq!(kinds, [Kind::Value]);
}

/// A published value replaces the earlier one; a stream grows by each item once, and is read from any index.
pub(super) async fn published_values_are_read_by_others<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "published");
    let held = desk.running("a").await;
    let publish = async |published| store.publish(&held.lease, published).await;
    let item = |index: u64, content: &str| Publish::item("log", index, text(content));
    ok(
        "publish",
        publish(vec![Publish::value("progress", text("0.1")), item(0, "zero"), item(1, "one \0")]).await,
    );
    ok("publish", publish(vec![Publish::value("progress", text("0.2"))]).await);
    ok("publish", publish(vec![item(0, "again"), item(1, "again"), item(2, "two")]).await);
    let gap = publish(vec![Publish::value("progress", text("0.9")), item(4, "four")]).await;
    assert!(matches!(gap, Err(StoreError::Unstorable { .. })), "{gap:?}");
    let published = ok("published", store.published(&desk.id("a"), "progress".into()).await);
    assert_eq!(published, Some(text("0.2")), "a refused call publishes nothing");
    assert_eq!(
        store.published(&desk.id("a"), "log".into()).await,
        Ok(None),
        "values and streams have separate names"
    );
    let read = async |from, limit| ok("stream", store.stream(&desk.id("a"), "log".into(), from, limit).await);
    let part = |items: &[&str], ended| {
        Some(StreamPart { items: items.iter().map(|item| text(item)).collect(), ended })
    };
    assert_eq!(read(0, 2).await, part(&["zero", "one \0"], false));
    assert_eq!(read(2, 9).await, part(&["two"], false));
    assert_eq!(read(3, 9).await, part(&[], false));
    desk.finish(&held, Status::Completed).await;
    assert_eq!(read(1, 9).await, part(&["one \0", "two"], true));
    let late = publish(vec![item(3, "three")]).await;
    assert!(matches!(late, Err(StoreError::LeaseLost { .. })), "{late:?}");
    assert_eq!(store.stream(&desk.id("missing"), "log".into(), 0, 9).await, Ok(None));
    let deleted = store.delete(vec![desk.id("a")], awaitly_core::store::DeleteIf::Free).await;
    assert_eq!(ok("delete", deleted).len(), 1);
    assert_eq!(store.published(&desk.id("a"), "progress".into()).await, Ok(None));
}

/// A schedule changes only if it has the version that the caller knows, and a claim returns the time of the next
/// schedule.
pub(super) async fn schedules_change_if_they_are_as_known<S: Dispatch>(store: &S) {
    let desk = Desk::new(store, "schedule");
    let name = |suffix: &str| -> Arc<str> { format!("{}-{suffix}", desk.name).into() };
    let now = ok("now", store.now().await);
    let change = |suffix: &str, version, put| PutSchedule { name: name(suffix), version, put };
    let put = |due| Some((due, text("rule \0")));
    let changes = vec![
        change("a", None, put(Some(now.before(HOUR)))),
        change("b", None, put(Some(now.after(HOUR)))),
        change("c", None, put(None)),
        change("d", Some(0), put(None)),
        change("a", None, put(None)),
    ];
    assert_eq!(ok("put_schedules", store.put_schedules(changes).await), [true, true, true, false, false]);
    let stored = async |query: ScheduleQuery| ok("schedules", store.schedules(query.limit(1000)).await);
    let ours = async |query: ScheduleQuery| {
        let found = stored(query).await.into_iter();
        let found = found.filter(|schedule| schedule.name.starts_with(&*desk.name));
        found.map(|schedule| schedule.name).collect::<Vec<_>>()
    };
    assert_eq!(ours(ScheduleQuery::new()).await, [name("a"), name("b"), name("c")]);
    assert_eq!(ours(ScheduleQuery::new().after(name("a"))).await, [name("b"), name("c")]);
    assert_eq!(ours(ScheduleQuery::new().due_at(now)).await, [name("a")]);
    let one = async |suffix| stored(ScheduleQuery::new().name(name(suffix))).await.remove(0);
    let (a, b, c) = (one("a").await, one("b").await.version, one("c").await.version);
    assert_eq!((a.due, a.rule), (Some(now.before(HOUR)), text("rule \0")));
    let claimed = desk.claim(0).await;
    assert!(claimed.schedule.is_some_and(|at| at <= now.before(HOUR)), "{:?}", claimed.schedule);
    let at_once = || store.put_schedules(vec![change("a", Some(a.version), put(Some(now.after(HOUR))))]);
    let made = join_all((0..4).map(|_| at_once())).await;
    let made = made.into_iter().filter(|made| ok("put_schedules", made.clone()) == [true]).count();
    assert_eq!(made, 1, "one of several changes of a version is made");
    let deleted = vec![change("b", Some(b), None), change("c", Some(c + 7), None)];
    assert_eq!(ok("put_schedules", store.put_schedules(deleted).await), [true, false]);
    assert_eq!(ours(ScheduleQuery::new()).await, [name("a"), name("c")]);
    assert_eq!(one("a").await.version, a.version + 1);
    let rest = vec![change("a", Some(a.version + 1), None), change("c", Some(c), None)];
    assert_eq!(ok("put_schedules", store.put_schedules(rest).await), [true, true]);
    assert!(ours(ScheduleQuery::new()).await.is_empty());
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(ok("put_schedules", store.put_schedules(vec![change("a", None, put(None))]).await), [true]);
    let again = one("a").await.version;
    assert!(again > a.version + 1, "a schedule that was created again has another version");
    assert_eq!(ok("put_schedules", store.put_schedules(vec![change("a", Some(again), None)]).await), [true]);
}
