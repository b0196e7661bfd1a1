//! Properties of a server, and its suitability for journals.

use awaitly_core::store::StoreError;
use redis::{Pipeline, Value};

use super::link::Link;
use super::names::Names;
use super::reply::{entry, text};
use super::scripts::Script;

/// The format that this version writes, which is also the newest that it reads.
const FORMAT: u32 = 3;

/// The events that an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    Always,
    Everysec,
    System,
    Snapshots,
    Unknown,
}

impl Durability {
    fn of(appendonly: Option<&str>, appendfsync: Option<&str>) -> Self {
        match (appendonly, appendfsync) {
            (Some("no"), _) => Self::Snapshots,
            (Some("yes"), Some("always")) => Self::Always,
            (Some("yes"), Some("everysec")) => Self::Everysec,
            (Some("yes"), Some("no")) => Self::System,
            _ => Self::Unknown,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Redis, appendonly yes, appendfsync always",
            Self::Everysec => {
                "Redis, appendonly yes, appendfsync everysec: a crash of the server may undo the last second"
            }
            Self::System => {
                "Redis, appendonly yes, appendfsync no: a crash of the server may undo the last half minute"
            }
            Self::Snapshots => {
                "Redis, appendonly no: a restart of the server loses everything since its last snapshot"
            }
            Self::Unknown => "Redis, durability unknown: CONFIG is not allowed",
        }
    }
}

/// Whether a restarted server, or its replacement, may lack acknowledged writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// No acknowledged write is lost.
    Sure,
    /// The newest writes may be lost.
    Unsure,
}

impl Memory {
    fn of(durability: Durability, replication: &str) -> Self {
        match (durability, entry(replication, "connected_slaves")) {
            (Durability::Always, Some("0")) => Self::Sure,
            _ => Self::Unsure,
        }
    }
}

/// Checks that the server is suitable for journals, and returns how durable they are.
pub(super) async fn inspect(link: &Link, names: &Names) -> Result<(Durability, Memory), StoreError> {
    let mut ask = redis::pipe();
    ask.cmd("INFO").arg("server").cmd("INFO").arg("cluster").cmd("INFO").arg("replication");
    let mut answers = accepted(link, &ask).await?.into_iter().map(|value| text(value).unwrap_or_default());
    check_version(&answers.next().unwrap_or_default())?;
    check_not_clustered(&answers.next().unwrap_or_default())?;
    let replication = answers.next().unwrap_or_default();
    check_format(link, names).await?;
    let setting = async |name: &str| {
        let mut ask = redis::pipe();
        ask.cmd("CONFIG").arg("GET").arg(name);
        setting(link.send(&ask).await.ok()?.pop()?)
    };
    if setting("maxmemory-policy").await.is_some_and(|policy| policy.starts_with("allkeys")) {
        tracing::error!(
            "runs can vanish, whole or in part: the server throws keys away when its memory is full; set \
             maxmemory-policy noeviction"
        );
    }
    let (appendonly, appendfsync) = (setting("appendonly").await, setting("appendfsync").await);
    let durability = Durability::of(appendonly.as_deref(), appendfsync.as_deref());
    Ok((durability, Memory::of(durability, &replication)))
}

/// Since version 5, scripts write their effects to the log instead of their source; in older versions, a script that
/// reads the time could not write.
fn check_version(info: &str) -> Result<(), StoreError> {
    let version = entry(info, "redis_version").unwrap_or("of an unknown version");
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(0..5) => {
            Err(not_there(format!("the server is Redis {version}, version 5 is the oldest that serves")))
        }
        _ => Ok(()),
    }
}

fn check_not_clustered(info: &str) -> Result<(), StoreError> {
    match entry(info, "cluster_enabled") {
        Some("1") => {
            Err(not_there("the server is part of a Redis Cluster, which tears apart the keys of a run"))
        }
        _ => Ok(()),
    }
}

/// Refuses a newer format, and upgrades an older one.
async fn check_format(link: &Link, names: &Names) -> Result<(), StoreError> {
    let mut ask = redis::pipe();
    ask.cmd("SET").arg(names.format()).arg(FORMAT).arg("NX").cmd("GET").arg(names.format());
    let found = accepted(link, &ask).await?.pop().and_then(text);
    match found.and_then(|found| found.parse().ok()) {
        Some(found) if found > FORMAT => Err(StoreError::NewerFormat { found, supported: FORMAT }),
        Some(FORMAT) => Ok(()),
        Some(1..FORMAT) => {
            let mut upgrade = redis::pipe();
            upgrade.add_command(Script::Upgrade.call(names, "")).arg(FORMAT);
            accepted(link, &upgrade).await.map(drop)
        }
        _ => Err(StoreError::Corrupt {
            detail: format!("`{}` is not the number of a format", names.format()).into(),
        }),
    }
}

/// Returns the value of a setting from the reply.
fn setting(answer: Value) -> Option<String> {
    match answer {
        Value::Array(pair) => text(pair.into_iter().nth(1)?),
        _ => None,
    }
}

/// Returns the answers. This makes one attempt without patience, so that the caller learns at once that the server is
/// away.
async fn accepted(link: &Link, ask: &Pipeline) -> Result<Vec<Value>, StoreError> {
    let answers = link.send(ask).await.map_err(|unanswered| unanswered.error)?;
    answers
        .into_iter()
        .map(|value| match value {
            Value::ServerError(error) => Err(super::error::refused(&error)),
            value => Ok(value),
        })
        .collect()
}

fn not_there(detail: impl Into<Box<str>>) -> StoreError {
    StoreError::NotThere { detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_that_cannot_keep_journals_is_refused() {
        assert!(check_version("# Server\r\nredis_version:4.0.14\r\n").is_err());
        for version in ["5.0.0", "7.0.15", "255.255.255"] {
            assert!(check_version(&format!("# Server\r\nredis_version:{version}\r\n")).is_ok());
        }
        let clustered = check_not_clustered("# Cluster\r\ncluster_enabled:1\r\n");
        assert!(clustered.unwrap_err().to_string().contains("Redis Cluster"));
        assert!(check_not_clustered("# Cluster\r\ncluster_enabled:0\r\n").is_ok());
    }

    #[test]
    fn durability_text_names_each_setting() {
        let said = |appendonly, appendfsync| Durability::of(appendonly, appendfsync).as_str();
        assert!(said(Some("yes"), Some("always")).ends_with("appendfsync always"));
        assert!(said(Some("yes"), Some("everysec")).ends_with("the last second"));
        assert!(said(Some("yes"), Some("no")).ends_with("the last half minute"));
        assert!(said(Some("no"), Some("always")).ends_with("its last snapshot"));
        assert!(said(None, None).ends_with("CONFIG is not allowed"));
    }

    #[test]
    fn memory_is_sure_only_with_always_and_no_replica() {
        let info = |replicas| format!("# Replication\r\nrole:master\r\nconnected_slaves:{replicas}\r\n");
        assert_eq!(Memory::of(Durability::Always, &info(0)), Memory::Sure);
        assert_eq!(Memory::of(Durability::Always, &info(1)), Memory::Unsure);
        assert_eq!(Memory::of(Durability::Always, ""), Memory::Unsure);
        for durability in
            [Durability::Everysec, Durability::System, Durability::Snapshots, Durability::Unknown]
        {
            assert_eq!(Memory::of(durability, &info(0)), Memory::Unsure);
        }
    }
}
