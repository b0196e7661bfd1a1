//! The scripts that the server carries out, each whole.

use std::sync::LazyLock;

use redis::Cmd;

use super::names::Names;

/// A script by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Begin,
    Take,
    Append,
    Replace,
    Wait,
    Settle,
    Revive,
    Rewrite,
    Finish,
    Renew,
    Release,
    Holds,
    Load,
    Look,
    Answer,
    Cancel,
    Delete,
    Import,
}

macro_rules! with_common {
    ($file:literal) => {
        concat!(include_str!("scripts/writing.lua"), include_str!("scripts/common.lua"), include_str!($file))
    };
}

impl Script {
    const ALL: [Self; 18] = [
        Self::Begin,
        Self::Take,
        Self::Append,
        Self::Replace,
        Self::Wait,
        Self::Settle,
        Self::Revive,
        Self::Rewrite,
        Self::Finish,
        Self::Renew,
        Self::Release,
        Self::Holds,
        Self::Load,
        Self::Look,
        Self::Answer,
        Self::Cancel,
        Self::Delete,
        Self::Import,
    ];

    const fn source(self) -> &'static str {
        match self {
            Self::Begin => with_common!("scripts/begin.lua"),
            Self::Take => with_common!("scripts/take.lua"),
            // Everything in a script is made anew for each call: the most frequent ones have only what they need.
            Self::Append => concat!(include_str!("scripts/writing.lua"), include_str!("scripts/append.lua")),
            Self::Replace => {
                concat!(include_str!("scripts/writing.lua"), include_str!("scripts/replace.lua"))
            }
            Self::Wait => with_common!("scripts/wait.lua"),
            Self::Settle => with_common!("scripts/settle.lua"),
            Self::Revive => with_common!("scripts/revive.lua"),
            Self::Rewrite => with_common!("scripts/rewrite.lua"),
            Self::Finish => with_common!("scripts/finish.lua"),
            Self::Renew => with_common!("scripts/renew.lua"),
            Self::Release => with_common!("scripts/release.lua"),
            Self::Holds => with_common!("scripts/holds.lua"),
            Self::Load => with_common!("scripts/load.lua"),
            Self::Look => with_common!("scripts/look.lua"),
            Self::Answer => with_common!("scripts/answer.lua"),
            Self::Cancel => with_common!("scripts/cancel.lua"),
            Self::Delete => with_common!("scripts/delete.lua"),
            Self::Import => with_common!("scripts/import.lua"),
        }
    }

    fn hash(self) -> &'static str {
        static HASHES: LazyLock<[String; Script::ALL.len()]> = LazyLock::new(|| {
            Script::ALL.map(|script| redis::Script::new(script.source()).get_hash().to_owned())
        });
        HASHES.get(self as usize).map_or("", String::as_str)
    }

    /// The call of the script for that run, without its arguments.
    pub(super) fn call(self, names: &Names, run: &str) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(self.hash());
        match self {
            Self::Append | Self::Replace => call.arg(2).arg(names.run(run)).arg(names.records(run)),
            _ => call
                .arg(8)
                .arg(names.run(run))
                .arg(names.records(run))
                .arg(names.waits(run))
                .arg(names.due())
                .arg(names.asking())
                .arg(names.runs())
                .arg(names.sequence())
                .arg(names.wakes()),
        };
        call
    }

    /// The commands that make all scripts known to a server.
    pub(super) fn load_all() -> impl Iterator<Item = Cmd> {
        Self::ALL.into_iter().map(|script| {
            let mut load = redis::cmd("SCRIPT");
            load.arg("LOAD").arg(script.source());
            load
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_stands_in_its_place() {
        for (place, script) in Script::ALL.into_iter().enumerate() {
            assert_eq!(script as usize, place);
            assert_eq!(script.hash().len(), 40);
        }
    }
}
