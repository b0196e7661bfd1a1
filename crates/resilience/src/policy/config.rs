use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use awaitly_core::retry::Jitter;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::{Growth, Policy, Registry};

/// The error of a configuration that describes no valid policy, or of a name that a [`Registry`] does not contain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy at `{path}` cannot be read: {reason}")]
pub struct ConfigError {
    /// The path to the invalid field, for example `search.retry.attempts`, or the name of the unknown policy.
    pub path: String,
    /// The reason.
    pub reason: String,
}

/// Reads one policy from a deserializer of any format.
///
/// ```
/// use awaitly_resilience::policy;
///
/// let json = r#"{ "timeout": "5s", "retry": { "attempts": 4, "growth": "linear", "delay": "250ms" } }"#;
/// let policy = policy::read(&mut serde_json::Deserializer::from_str(json)).unwrap();
///
/// let json = r#"{ "retry": { "attempts": 0 } }"#;
/// let refused = policy::read(&mut serde_json::Deserializer::from_str(json)).unwrap_err();
/// assert_eq!(refused.path, "retry.attempts");
/// ```
///
/// | field | value |
/// | --- | --- |
/// | `retry.attempts` | a number of at least 1 |
/// | `retry.growth` | `fixed`, `linear`, `exponential` or `fibonacci` |
/// | `retry.delay`, `retry.max_delay` | a duration |
/// | `retry.jitter` | `none`, `full`, `equal`, `{ "proportional": 0.2 }` or `{ "additive": "50ms" }` |
/// | `timeout`, `deadline` | a duration longer than zero |
///
/// A duration is a text such as `250ms`, `5s` or `1m 30s`. An unknown field is refused, and an absent field is not set.
///
/// # Errors
/// Returns [`ConfigError`] with the path to the invalid field.
pub fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Policy, ConfigError> {
    read_at(deserializer)
}

/// Reads policies by name from a map, in the order of the map.
///
/// ```
/// use awaitly_resilience::policy;
///
/// let json = r#"{ "search": { "timeout": "2s" }, "stock": { "retry": { "attempts": 5 } } }"#;
/// let policies = policy::read_all(&mut serde_json::Deserializer::from_str(json)).unwrap();
/// assert!(policies.names().eq(["search", "stock"]));
/// ```
///
/// # Errors
/// Returns [`ConfigError`] with the path to the invalid field. A name that occurs twice is refused.
pub fn read_all<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Registry, ConfigError> {
    read_at(deserializer)
}

fn read_at<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(deserializer)
        .map_err(|error| ConfigError { path: error.path().to_string(), reason: error.inner().to_string() })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFields {
    #[serde(default)]
    retry: RetryFields,
    timeout: Option<Within>,
    deadline: Option<Within>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RetryFields {
    attempts: Option<NonZeroU32>,
    growth: Option<Growth>,
    delay: Option<Span>,
    max_delay: Option<Span>,
    jitter: Option<JitterField>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum JitterField {
    None,
    Full,
    Equal,
    Proportional(Part),
    Additive(Span),
}

/// A fraction from 0 to 1.
#[derive(Deserialize)]
#[serde(try_from = "f64")]
struct Part(f64);

impl TryFrom<f64> for Part {
    type Error = &'static str;

    fn try_from(part: f64) -> Result<Self, Self::Error> {
        if (0.0..=1.0).contains(&part) { Ok(Self(part)) } else { Err("a part is from 0 to 1") }
    }
}

/// A time limit, which is longer than zero.
#[derive(Deserialize)]
#[serde(try_from = "Span")]
struct Within(Duration);

impl TryFrom<Span> for Within {
    type Error = &'static str;

    fn try_from(Span(time): Span) -> Result<Self, Self::Error> {
        if time.is_zero() { Err("nothing is done within no time: leave it out") } else { Ok(Self(time)) }
    }
}

/// A duration in human-readable form.
struct Span(Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"250ms\" or \"1m 30s\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                humantime::parse_duration(text)
                    .map(Span)
                    .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let PolicyFields { retry, timeout, deadline } = PolicyFields::deserialize(deserializer)?;
        let RetryFields { attempts, growth, delay, max_delay, jitter } = retry;
        Ok(Self {
            attempts,
            growth,
            delay: delay.map(|Span(delay)| delay),
            max_delay: max_delay.map(|Span(delay)| delay),
            jitter: jitter.map(|jitter| match jitter {
                JitterField::None => Jitter::None,
                JitterField::Full => Jitter::Full,
                JitterField::Equal => Jitter::Equal,
                JitterField::Proportional(Part(part)) => Jitter::Proportional(part),
                JitterField::Additive(Span(most)) => Jitter::Additive(most),
            }),
            timeout: timeout.map(|Within(timeout)| timeout),
            deadline: deadline.map(|Within(deadline)| deadline),
        })
    }
}

impl<'de> Deserialize<'de> for Registry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Registry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from names to policies")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Registry, M::Error> {
                let mut registry = Registry::new();
                while let Some((name, policy)) = map.next_entry::<String, Policy>()? {
                    if registry.has(&name) {
                        return Err(de::Error::custom(format_args!("the name `{name}` stands there twice")));
                    }
                    registry.register(name, policy);
                }
                Ok(registry)
            }
        }
        deserializer.deserialize_map(Map)
    }
}
