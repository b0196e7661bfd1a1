//! Nonces, which identify a write.

use std::sync::atomic::{AtomicU64, Ordering};

use awaitly_core::store::Owner;

/// Numbers that no other store generates: they count up from a random start.
#[derive(Debug)]
pub(super) struct Nonces(AtomicU64);

impl Nonces {
    pub(super) fn new() -> Self {
        // The name of a unique owner ends in 64 random bits.
        let owner = Owner::unique();
        let random = owner.as_str().rsplit('-').next().and_then(|text| u64::from_str_radix(text, 16).ok());
        Self(AtomicU64::new(random.unwrap_or_default()))
    }

    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Returns the form that scripts compare: a text, because Lua's numbers have 53 bits.
pub(super) fn text(nonce: u64) -> String {
    format!("{nonce:x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_stores_draw_different_numbers() {
        let (one, other) = (Nonces::new(), Nonces::new());
        assert_ne!(one.next(), one.next());
        assert!(one.next().abs_diff(other.next()) > 1 << 20, "both begin at a random number");
    }
}
