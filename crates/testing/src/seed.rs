//! Seeds: reading the environment variable, drawing from a seed, and printing it.

use std::env::VarError;
use std::fmt;

/// The environment variable that sets the seed of a repeated test.
pub(crate) const VARIABLE: &str = "AWAITLY_SEED";

/// The multiplier of the 64-bit FNV-1a hash.
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// Returns the seed from the environment, or `None` if the variable is missing or empty.
///
/// # Panics
/// Panics if the variable does not contain a seed. Continuing with another seed would not repeat the failure.
#[track_caller]
pub(crate) fn given() -> Option<u64> {
    match std::env::var(VARIABLE) {
        Ok(text) => parsed(&text),
        Err(VarError::NotPresent) => None,
        Err(VarError::NotUnicode(text)) => parsed(&text.to_string_lossy()),
    }
}

#[track_caller]
fn parsed(text: &str) -> Option<u64> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    match text.parse() {
        Ok(seed) => Some(seed),
        Err(_) => panic!(
            "{VARIABLE}={text} is not a seed: set a decimal number from 0 to {}, or unset the variable",
            u64::MAX
        ),
    }
}

/// Creates the random source for occurrence `number` of `what`. The source depends only on these arguments and the
/// seed, so unrelated draws do not change it.
pub(crate) fn dice(seed: u64, what: &str, number: u32) -> fastrand::Rng {
    fastrand::Rng::with_seed(mixed(mixed(seed, what.as_bytes()), &number.to_le_bytes()))
}

/// Returns `hash` extended by `bytes`.
fn mixed(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

/// The advice for repeating a failed test.
pub(crate) struct Advice(pub(crate) u64);

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(seed) = self;
        write!(
            f,
            "the seed was {seed}: repeat the test with {VARIABLE}={seed}, or with `.seed({seed})` if the code sets its \
             seed"
        )
    }
}

/// Prints the advice for repeating a failed test.
pub(crate) fn tell(seed: u64) {
    eprintln!("{}", Advice(seed));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_parses_as_decimal_number() {
        assert_eq!(parsed(" 7\n"), Some(7));
        assert_eq!(parsed("18446744073709551615"), Some(u64::MAX));
        assert_eq!(parsed(""), None);
    }

    #[test]
    #[should_panic(expected = "AWAITLY_SEED=0x7 is not a seed: set a decimal number")]
    fn seed_that_is_not_decimal_panics() {
        let _ = parsed("0x7");
    }

    #[test]
    fn chance_of_a_tenth_hits_a_tenth_of_draws() {
        for what in ["charge", ""] {
            let hits = (0..10_000).filter(|number| dice(7, what, *number).f64() < 0.1).count();
            assert!((900..1100).contains(&hits), "{hits}");
        }
    }

    #[test]
    fn dice_depend_on_seed_subject_and_number() {
        let first = dice(7, "charge", 1).u64(..);
        assert_eq!(dice(7, "charge", 1).u64(..), first);
        for mut other in [dice(8, "charge", 1), dice(7, "charges", 1), dice(7, "charge", 2)] {
            assert_ne!(other.u64(..), first);
        }
    }
}
