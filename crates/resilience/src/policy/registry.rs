use super::{ConfigError, Policy};

/// Policies by name, in the order of their registration.
///
/// ```
/// use awaitly_resilience::policy::{self, Registry};
///
/// let mut policies = Registry::new();
/// policies.register("search", policy::HTTP_API);
/// policies.register("stock", policy::DATABASE);
/// assert_eq!(policies.get("search"), Ok(policy::HTTP_API));
/// assert_eq!(
///     policies.get("serach").unwrap_err().to_string(),
///     "the policy at `serach` cannot be read: no policy has this name, but there are `search`, `stock`",
/// );
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Registry(Vec<(String, Policy)>);

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
    /// Returns [`ConfigError`] with the registered names if none of them is `name`.
    pub fn get(&self, name: &str) -> Result<Policy, ConfigError> {
        let found = self.0.iter().find(|(known, _)| known == name).map(|(_, policy)| *policy);
        found.ok_or_else(|| {
            let known: Vec<_> = self.names().map(|name| format!("`{name}`")).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let reason = format!("no policy has this name, but there are {known}");
            ConfigError { path: name.to_owned(), reason }
        })
    }

    /// Returns whether a policy has this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// Returns the names, in the order of their registration.
    ///
    /// ```
    /// use awaitly_resilience::policy::{self, Registry};
    ///
    /// let policies: Registry = [("search", policy::HTTP_API), ("stock", policy::DATABASE)].into_iter().collect();
    /// assert!(policies.names().eq(["search", "stock"]));
    /// assert!(policies.has("stock"));
    /// ```
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
