//! The scripts that the server executes, each atomically.

use std::sync::LazyLock;

use redis::Cmd;

use super::names::Names;

/// Declares the scripts: each with the files of functions that it needs, before its own file.
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
    Begin: "begin" "common" "lease";
    Take: "take" "common" "lease";
    // Each call creates everything in a script anew, so the most frequent scripts contain only the functions that they need.
    Append: "append" "lease";
    Replace: "replace" "lease";
    Wait: "wait" "common" "lease";
    Settle: "settle" "common" "lease";
    Revive: "revive" "common" "lease";
    Rewrite: "rewrite" "common" "lease";
    Finish: "finish" "common" "lease";
    Renew: "renew" "common" "lease";
    Release: "release" "common";
    Holds: "holds" "lease";
    Load: "load" "common";
    Look: "look" "common";
    Answer: "answer" "common";
    Cancel: "cancel" "common";
    Delete: "delete" "common";
    Import: "import" "common";
    Upgrade: "upgrade" "common";
}

impl Script {
    fn hash(self) -> &'static str {
        static HASHES: LazyLock<Vec<String>> = LazyLock::new(|| {
            let hashes = Script::ALL.iter().map(|script| redis::Script::new(script.source()));
            hashes.map(|script| script.get_hash().to_owned()).collect()
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
        Self::ALL.iter().map(|script| {
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
        for (place, script) in Script::ALL.iter().enumerate() {
            assert_eq!(*script as usize, place);
            assert_eq!(script.hash().len(), 40);
        }
    }
}
