//! The messages of a case, which a client sends.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use awaitly::engine::{Client, SendError};
use awaitly::store::{RunId, RunQuery, StoreError, Unsent};

use crate::fault::Served;
use crate::part::{Body, Mail, What};
use crate::perform::message;
use crate::place::{Place, on};
use crate::promise::{Broken, Promise};

/// The messages of a case, and how many of each part were sent.
pub(crate) struct Post {
    run: RunId,
    children: Served,
    parts: Vec<Letters>,
    sent: Mutex<BTreeMap<u16, u8>>,
    /// One client sends at a time, so that the messages keep their order.
    turn: tokio::sync::Mutex<()>,
}

type Sending<'p> = Pin<Box<dyn Future<Output = Result<(), Broken>> + Send + 'p>>;

/// The messages of a part.
#[derive(Clone, Copy)]
struct Letters {
    id: u16,
    /// The child that receives them, or 0.
    owner: u16,
    mail: Mail,
}

/// The result of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Yes,
    /// All messages were sent, or the run has ended.
    NoMore,
}

impl Post {
    pub(crate) fn new(run: RunId, children: Served, body: &Body) -> Self {
        let mut parts = Vec::new();
        body.owned(&mut |part, owner| {
            if let What::Receive(mail) = part.what {
                parts.push(Letters { id: part.id, owner, mail });
            }
        });
        Self { run, children, parts, sent: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// The parts of which each message was sent.
    pub(crate) fn complete(&self) -> BTreeSet<u16> {
        let sent = self.sent();
        let is_complete =
            |one: &&Letters| one.mail.comes && sent.get(&one.id).is_some_and(|sent| *sent >= one.mail.count);
        self.parts.iter().filter(is_complete).map(|one| one.id).collect()
    }

    /// Whether messages come for a part.
    pub(crate) fn comes(&self, id: u16) -> bool {
        self.parts.iter().any(|one| one.id == id && one.mail.comes)
    }

    /// Sends all messages of a part, if its run exists. The future is boxed because it is part of every boundary.
    pub(crate) fn send_all<'p>(&'p self, place: &'p Place, id: u16) -> Sending<'p> {
        Box::pin(async move {
            let Some(part) = self.parts.iter().find(|part| part.id == id) else { return Ok(()) };
            let mut runs = vec![self.run.clone()];
            if part.owner != 0 {
                let children = children(place, self.children).await.map_err(broken)?;
                runs = children.into_iter().map(|child| child.run).collect();
                runs.retain(|run| child_of(run) == Some(part.owner));
            }
            for run in runs {
                while self.send(place, &run, id).await? == Sent::Yes {}
            }
            Ok(())
        })
    }

    /// Sends the next message of a part to `run`.
    pub(crate) async fn send(&self, place: &Place, run: &RunId, id: u16) -> Result<Sent, Broken> {
        let _turn = self.turn.lock().await;
        let Some(Letters { mail, .. }) = self.parts.iter().find(|part| part.id == id).copied() else {
            return Ok(Sent::NoMore);
        };
        let number = self.sent().get(&id).copied().unwrap_or(0);
        if !mail.comes || number >= mail.count {
            return Ok(Sent::NoMore);
        }
        // A message that was received long ago is as well known as the last one.
        let again = if mail.twice { vec![number, 0] } else { Vec::new() };
        for number in [number].into_iter().chain(again) {
            match self.send_one(place, run, id, number).await {
                Ok(()) => {}
                Err(SendError::Unsent(Unsent::NoSuchRun | Unsent::Ended { .. })) => return Ok(Sent::NoMore),
                Err(error) => return Err(broken(error)),
            }
        }
        self.sent().insert(id, number + 1);
        Ok(Sent::Yes)
    }

    /// A run that has ended takes no message.
    pub(crate) async fn refuses(&self, place: &Place) -> Result<(), Broken> {
        let Some(part) = self.parts.first() else { return Ok(()) };
        match self.send_one(place, &self.run, part.id, u8::MAX).await {
            Err(SendError::Unsent(Unsent::Ended { .. })) => Ok(()),
            sent => Err(Broken {
                promise: Promise::Mail,
                text: format!("a message to a run that has ended gives {sent:?}"),
            }),
        }
    }

    async fn send_one(&self, place: &Place, run: &RunId, id: u16, number: u8) -> Result<(), SendError> {
        on!(place, store => {
            let client = Client::new(store.clone());
            let run = client.find(self.children, run.to_shared());
            let run = run.unwrap_or_else(|_| unreachable!("it is the id of a run"));
            run.send(format!("m{id}"), &message(id, number)).id(format!("{id}.{number}")).await
        })
    }

    fn sent(&self) -> MutexGuard<'_, BTreeMap<u16, u8>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The children of a case.
pub(crate) async fn children(
    place: &Place,
    workflow: Served,
) -> Result<Vec<awaitly::store::RunSummary>, StoreError> {
    place.list(RunQuery::new().workflow(workflow.name()).limit(1000)).await
}

/// The part that started a child: `r/p1.a/k3` is that of part 3.
pub(crate) fn child_of(run: &RunId) -> Option<u16> {
    number_of(run, 'k')
}

/// The number of a part whose name begins with this letter, by the last name in a key: `undo s3/q9`, `q4v2`, `m5#2`.
pub(crate) fn number_of(key: &str, letter: char) -> Option<u16> {
    let name = key.rsplit('/').next()?.strip_prefix(letter)?;
    let digits = name.find(|letter: char| !letter.is_ascii_digit()).map_or(name, |end| name.split_at(end).0);
    digits.parse().ok()
}

fn broken(error: impl std::fmt::Display) -> Broken {
    Broken { promise: Promise::Harness, text: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_known_by_the_last_name_in_its_key() {
        for (key, letter, id) in [
            ("q3", 'q', Some(3)),
            ("undo s1/q12", 'q', Some(12)),
            ("p1.a/q4v2", 'q', Some(4)),
            ("s3", 'q', None),
            ("r/s1@2/k5", 'k', Some(5)),
            ("m5#2", 'm', Some(5)),
        ] {
            assert_eq!(number_of(key, letter), id, "{key}");
        }
    }
}
