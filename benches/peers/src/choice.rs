//! The command line: `peers [sqlite] [postgres]`.

use anyhow::{Result, bail};

/// Which rivals to measure; all where none is named.
#[derive(Clone, Copy)]
pub struct Choice {
    /// Those with their database in a file, cano's redb among them.
    pub sqlite: bool,
    /// Those on a PostgreSQL server.
    pub postgres: bool,
}

impl Choice {
    pub fn from_arguments(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut named = Self {
            sqlite: false,
            postgres: false,
        };
        for argument in arguments {
            match argument.as_str() {
                "sqlite" => named.sqlite = true,
                "postgres" => named.postgres = true,
                _ => bail!("no peers `{argument}`; usage: peers [sqlite] [postgres]"),
            }
        }
        if !named.sqlite && !named.postgres {
            (named.sqlite, named.postgres) = (true, true);
        }
        Ok(named)
    }
}
