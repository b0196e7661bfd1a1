use std::fmt;

use super::Policy;

/// Policies by name, in the order of their registration.
///
/// ```
/// use awaitly_resilience::policy::{self, Registry};
///
/// let mut policies = Registry::new();
/// policies.register("search", policy::http_api());
/// policies.register("stock", policy::database());
/// assert_eq!(policies.get("search"), Ok(policy::http_api()));
/// assert_eq!(
///     policies.get("serach").unwrap_err().to_string(),
///     "no policy is called `serach`: there are `search`, `stock`",
/// );
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Registry(Vec<(String, Policy)>);

/// The registry holds no policy with this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no policy is called `{name}`: there are {}", Quoted(.known))]
pub struct UnknownPolicy {
    /// The requested name.
    pub name: String,
    /// The registered names.
    pub known: Vec<String>,
}

impl Registry {
    /// Creates an empty registry.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Registers `policy` under `name`, and replaces the policy that had the name before.
    pub fn register(&mut self, name: impl Into<String>, policy: Policy) {
        let name = name.into();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = policy,
            None => self.0.push((name, policy)),
        }
    }

    /// Returns the policy with this name.
    ///
    /// # Errors
    /// Returns [`UnknownPolicy`] with the registered names if none of them is `name`.
    pub fn get(&self, name: &str) -> Result<Policy, UnknownPolicy> {
        let found = self.0.iter().find(|(known, _)| known == name).map(|(_, policy)| *policy);
        found.ok_or_else(|| UnknownPolicy {
            name: name.to_owned(),
            known: self.names().map(str::to_owned).collect(),
        })
    }

    /// Returns whether a policy has this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// Returns the names, in the order of their registration.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl<N: Into<String>> FromIterator<(N, Policy)> for Registry {
    fn from_iter<I: IntoIterator<Item = (N, Policy)>>(policies: I) -> Self {
        let mut registry = Self::new();
        policies.into_iter().for_each(|(name, policy)| registry.register(name, policy));
        registry
    }
}

struct Quoted<'a>(&'a [String]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("none"),
            names => {
                f.write_str(&names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
            }
        }
    }
}
