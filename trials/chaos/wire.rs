//! The part of PostgreSQL's protocol that shows which statement is in flight, and when its answer is complete.

use std::collections::HashMap;

/// A statement that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// It begins runs.
    Begin,
    /// It adds records.
    Record,
    /// It takes, renews or gives back leases, or ends runs.
    Lease,
    /// The end of a transaction.
    Commit,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Begin, Self::Record, Self::Lease, Self::Commit];

    fn of(sql: &str) -> Option<Self> {
        let inserts = |table| sql.contains("INSERT") && sql.contains(table);
        match sql {
            _ if sql.starts_with("COMMIT") => Some(Self::Commit),
            _ if inserts(".steps") => Some(Self::Record),
            _ if inserts(".runs") => Some(Self::Begin),
            _ if sql.contains("UPDATE") && sql.contains(".runs") && !sql.contains("FOR UPDATE") => {
                Some(Self::Lease)
            }
            _ => None,
        }
    }
}

/// Messages, assembled from pieces.
#[derive(Default)]
struct Messages(Vec<u8>);

impl Messages {
    /// The next whole message: its type and its body.
    fn next(&mut self, typed: bool) -> Option<(u8, Vec<u8>)> {
        let head = usize::from(typed);
        let length = self.0.get(head..head + 4)?.try_into().ok().map(u32::from_be_bytes)? as usize;
        let kind = if typed { *self.0.first()? } else { 0 };
        let body = self.0.get(head + 4..head + length)?.to_vec();
        self.0.drain(..head + length);
        Some((kind, body))
    }
}

/// The requests of a client on one connection.
#[derive(Default)]
pub(crate) struct Requests {
    messages: Messages,
    /// The first message has no type.
    greeted: bool,
    prepared: HashMap<Vec<u8>, Kind>,
}

impl Requests {
    /// The last statement that writes, of those that `bytes` complete.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Option<Kind> {
        self.messages.0.extend_from_slice(bytes);
        let mut found = None;
        while let Some((kind, body)) = self.messages.next(self.greeted) {
            if !std::mem::replace(&mut self.greeted, true) {
                continue;
            }
            let mut texts = body.split(|byte| *byte == 0);
            let (first, second) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
            match kind {
                b'P' => {
                    if let Some(kind) = Kind::of(&String::from_utf8_lossy(second)) {
                        self.prepared.insert(first.to_vec(), kind);
                    }
                }
                b'B' => found = self.prepared.get(second).copied().or(found),
                b'Q' => found = Kind::of(&String::from_utf8_lossy(first)).or(found),
                _ => {}
            }
        }
        found
    }
}

/// The answers of a server on one connection.
#[derive(Default)]
pub(crate) struct Answers(Messages);

impl Answers {
    /// Whether with `bytes` an answer is complete: the server is ready for the next question.
    pub(crate) fn complete(&mut self, bytes: &[u8]) -> bool {
        self.0.0.extend_from_slice(bytes);
        let mut ready = false;
        while let Some((kind, _)) = self.0.next(true) {
            ready |= kind == b'Z';
        }
        ready
    }
}
