//! The scripts that the server executes, each atomically.

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
    Upgrade,
}

macro_rules! script {
    ($file:literal $(, $shared:literal)*) => {
        concat!(
            include_str!("scripts/writing.lua"),
            $(include_str!(concat!("scripts/", $shared, ".lua")),)*
            include_str!(concat!("scripts/", $file, ".lua"))
        )
    };
}

impl Script {
    const ALL: [Self; 19] = [
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
        Self::Upgrade,
    ];

    const fn source(self) -> &'static str {
        match self {
            Self::Begin => script!("begin", "common", "lease"),
            Self::Take => script!("take", "common", "lease"),
            // Each call creates everything in a script anew, so the most frequent scripts contain only the functions
            // that they need.
            Self::Append => script!("append", "lease"),
            Self::Replace => script!("replace", "lease"),
            Self::Wait => script!("wait", "common", "lease"),
            Self::Settle => script!("settle", "common", "lease"),
            Self::Revive => script!("revive", "common", "lease"),
            Self::Rewrite => script!("rewrite", "common", "lease"),
            Self::Finish => script!("finish", "common", "lease"),
            Self::Renew => script!("renew", "common", "lease"),
            Self::Release => script!("release", "common"),
            Self::Holds => script!("holds", "lease"),
            Self::Load => script!("load", "common"),
            Self::Look => script!("look", "common"),
            Self::Answer => script!("answer", "common"),
            Self::Cancel => script!("cancel", "common"),
            Self::Delete => script!("delete", "common"),
            Self::Import => script!("import", "common"),
            Self::Upgrade => script!("upgrade", "common"),
        }
    }

    fn hash(self) -> &'static str {
        static HASHES: LazyLock<[String; Script::ALL.len()]> = LazyLock::new(|| {
            Script::ALL.map(|script| redis::Script::new(script.source()).get_hash().to_owned())
        });
        HASHES.get(self as usize).map_or("", String::as_str)
    }

    /// Returns the call of the script for that run, without its arguments.
    pub(super) fn call(self, names: &Names, run: &str) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(self.hash());
        match self {
            Self::Append | Self::Replace => call.arg(2).arg(names.run(run)).arg(names.records(run)),
            _ => call
                .arg(9)
                .arg(names.run(run))
                .arg(names.records(run))
                .arg(names.waits(run))
                .arg(names.due())
                .arg(names.asking())
                .arg(names.runs())
                .arg(names.sequence())
                .arg(names.wakes())
                .arg(names.tokens()),
        };
        call
    }

    /// Returns the commands that load all scripts into a server.
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
