//! Walking a list in pieces, each read at a time of its own: what changes meanwhile shows or not, and everything that
//! stands still shows once.

use std::collections::HashSet;

use awaitly_core::journal::Timestamp;
use awaitly_core::store::StoreError;

use super::link::Link;
use super::reply::{Reply, time};

/// How many are read at a time.
const PIECE: usize = 256;

/// A walk through a sorted set, a piece at a time.
pub(super) struct Walk {
    set: String,
    way: Way,
    from: String,
    /// Those with that score that were seen before: they stand first in the next piece, unless they are gone.
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

    /// The next piece, with what time it was. `None`: there is no more.
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
