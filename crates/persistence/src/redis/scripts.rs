//! The scripts that the server executes, each atomically.

use std::sync::LazyLock;

use redis::Cmd;

use super::names::Names;

/// Declares the scripts. Each consists of the files of functions that it needs, and its own file.
macro_rules! scripts {
    ($($name:ident: $file:literal $($shared:literal)*;)*) => {
        /// A script by its name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Script {
            $($name,)*
        }

        impl Script {
            const ALL: &[Self] = &[$(Self::$name,)*];

            const fn source(self) -> &'static str {
                match self {
                    $(Self::$name => concat!(
                        include_str!("scripts/writing.lua"),
                        $(include_str!(concat!("scripts/", $shared, ".lua")),)*
                        include_str!(concat!("scripts/", $file, ".lua"))
                    ),)*
                }
            }
        }
    };
}

scripts! {
    Begin: "begin" "common" "places" "journal" "lease";
    Take: "take" "common" "places" "journal" "lease";
    // Each call defines all functions of its script again. So the most frequent scripts contain only the functions that
    // they need.
    Append: "append" "lease";
    Replace: "replace" "lease";
    Wait: "wait" "common" "entries" "lease";
    Settle: "settle" "common" "entries" "lease";
    Revive: "revive" "common" "entries" "places" "labels" "lease";
    Rewrite: "rewrite" "common" "entries" "places" "journal" "lease";
    Finish: "finish" "common" "entries" "places" "report" "lease";
    Renew: "renew" "common" "places" "lease";
    Release: "release" "common" "places";
    Holds: "holds" "lease";
    Load: "load" "common" "journal";
    Look: "look" "common";
    Answer: "answer" "common" "entries" "places";
    Cancel: "cancel" "common" "entries" "places" "labels" "report";
    Delete: "delete" "common" "entries" "places" "labels";
    Import: "import" "common" "entries" "places" "labels";
    Upgrade: "upgrade" "common" "entries";
    Submit: "submit" "common" "places" "queues" "labels";
    Claim: "claim" "common" "entries" "places" "queues" "allowance" "promote" "visit" "memo" "labels" "report"
        "lease" "taking" "choose";
    GiveBack: "give_back" "common" "places" "memo";
    Configure: "configure" "common" "places";
    PauseQueues: "pause_queues" "common";
    QueueStates: "queue_states" "common";
    Pause: "pause" "common" "places";
    Reschedule: "reschedule" "common" "places" "queues" "requeue" "labels";
    Send: "send" "common" "places" "memo" "once";
    Receive: "receive" "common" "entries" "lease";
    Publish: "publish" "common" "lease";
    Standing: "standing" "common" "places";
    Stream: "stream" "common";
    Schedules: "schedules";
    PutSchedules: "put_schedules" "common" "memo" "once";
    Restart: "restart" "common" "entries" "places" "queues" "requeue" "labels" "journal" "lease";
}

impl Script {
    fn hash(self) -> &'static str {
        static HASHES: LazyLock<Vec<String>> = LazyLock::new(|| {
            let hashes = Script::ALL.iter().map(|script| redis::Script::new(script.source()));
            hashes.map(|script| script.get_hash().to_owned()).collect()
        });
        HASHES.get(self as usize).map_or("", String::as_str)
    }

    /// Returns the call of the script for a run, without its arguments. If `run` is empty, the script concerns many
    /// runs, and receives the beginnings of their keys.
    pub(super) fn call(self, names: &Names, run: &str) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(self.hash());
        match self {
            Self::Append | Self::Replace => call.arg(2).arg(names.run(run)).arg(names.records(run)),
            _ => call
                .arg(4)
                .arg(names.run(run))
                .arg(names.records(run))
                .arg(names.waits(run))
                .arg(names.base()),
        };
        call
    }

    /// Returns the commands that load all scripts into a server.
    pub(super) fn load_all() -> impl Iterator<Item = Cmd> {
        Self::ALL.iter().map(|script| {
            let mut load = redis::cmd("SCRIPT");
            load.arg("LOAD").arg(script.source());
            load
        })
    }
}

#[cfg(test)]
mod tests {
    use awaitly_core::journal::{Status, Timestamp};
    use awaitly_core::store::{RunId, Submit};

    use super::*;

    #[test]
    fn restated_outcome_of_cancelled_child_is_that_of_core() {
        let now = Timestamp::default();
        let child = Submit::new(RunId::new("a").unwrap(), "a").child_of(RunId::new("b").unwrap(), "a");
        let mut header = child.header(child.place(now), now);
        header.status = Status::Cancelled;
        let (_, outcome) = header.report().unwrap();
        let text = format!("'{} {}'", outcome.kind().to_number(), outcome.payload().as_str());
        assert!(include_str!("scripts/report.lua").contains(&text), "{text}");
    }

    #[test]
    fn every_script_stands_in_its_place() {
        for (place, script) in Script::ALL.iter().enumerate() {
            assert_eq!(*script as usize, place);
            assert_eq!(script.hash().len(), 40);
        }
    }
}
