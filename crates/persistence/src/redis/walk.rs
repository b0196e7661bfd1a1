//! Reads a list in pieces, each at its own moment: changes meanwhile may be visible or not, and everything that is
//! unchanged appears once.

use std::collections::HashSet;

use awaitly_core::journal::Timestamp;
use awaitly_core::store::StoreError;

use super::link::Link;
use super::reply::{Reply, time};

/// The number of items in a piece.
const PIECE: usize = 256;

/// An iteration over a sorted set, piece by piece.
pub(super) struct Walk {
    set: String,
    way: Way,
    from: String,
    /// The members with that score that were already seen: they come first in the next piece, unless they were removed.
    seen: HashSet<String>,
    ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

impl Walk {
    pub(super) fn new(set: String, way: Way, from: String) -> Self {
        Self { set, way, from, seen: HashSet::new(), ended: false }
    }

    /// Returns the next piece and the server's time, or `None` at the end.
    pub(super) async fn next(
        &mut self,
        link: &Link,
    ) -> Result<Option<(Timestamp, Vec<(f64, String)>)>, StoreError> {
        if self.ended {
            return Ok(None);
        }
        let mut ask = redis::pipe();
        let (command, end) = match self.way {
            Way::Up => ("ZRANGEBYSCORE", "+inf"),
            Way::Down => ("ZREVRANGEBYSCORE", "-inf"),
        };
        ask.cmd("TIME").cmd(command).arg(&self.set).arg(&self.from).arg(end).arg("WITHSCORES");
        let limit = PIECE + self.seen.len();
        ask.arg("LIMIT").arg(0).arg(limit);
        let mut answers = link.read(&ask).await?.into_iter();
        let now = time(answers.next().unwrap_or_default())?;
        let mut reply = Reply::of(&self.set, answers.next().unwrap_or_default())?;
        self.ended = reply.len() < 2 * limit;
        let mut piece = Vec::with_capacity(PIECE);
        while reply.len() > 0 {
            let (member, score) = (reply.text("member")?, reply.text("score")?);
            if score != self.from {
                self.seen.clear();
            }
            if self.seen.insert(member.clone()) {
                piece.push((score.parse().map_err(|_| reply.corrupt("score"))?, member));
            }
            self.from = score;
        }
        Ok(Some((now, piece)))
    }
}
