//! Seeds: where one comes from, what is drawn from it, and how it is told.

use std::env::VarError;
use std::fmt;

/// The environment variable that names the seed of a test that is repeated.
pub(crate) const VARIABLE: &str = "AWAITLY_SEED";

/// What the hash of FNV-1a multiplies by (64 bits).
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The seed that the environment names. `None`: it names none, or is empty.
///
/// # Panics
/// Where what it names is no seed: a test that went on with another one would not repeat what was to be repeated.
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
            "{VARIABLE}={text} names no seed: let it be a decimal number from 0 to {}, or leave it away",
            u64::MAX
        ),
    }
}

/// The source of randomness for the `number`th time of `what`. It depends on nothing else, so that what happens beside
/// it changes nothing.
pub(crate) fn dice(seed: u64, what: &str, number: u32) -> fastrand::Rng {
    fastrand::Rng::with_seed(mixed(mixed(seed, what.as_bytes()), &number.to_le_bytes()))
}

/// A number that depends on all of both.
pub(crate) fn mixed(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

/// How to repeat what has just failed.
pub(crate) struct Advice(pub(crate) u64);

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(seed) = self;
        write!(
            f,
            "the seed was {seed}: repeat it with {VARIABLE}={seed}, or with `.seed({seed})` where the code gives a seed \
             itself"
        )
    }
}

/// Says how to repeat what has just failed.
pub(crate) fn tell(seed: u64) {
    eprintln!("{}", Advice(seed));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_decimal_number() {
        assert_eq!(parsed(" 7\n"), Some(7));
        assert_eq!(parsed("18446744073709551615"), Some(u64::MAX));
        assert_eq!(parsed(""), None);
    }

    #[test]
    #[should_panic(expected = "AWAITLY_SEED=0x7 names no seed: let it be a decimal number")]
    fn what_is_no_number_is_not_passed_over() {
        let _ = parsed("0x7");
    }

    #[test]
    fn dice_depend_on_all_that_they_are_thrown_for() {
        let first = dice(7, "charge", 1).u64(..);
        assert_eq!(dice(7, "charge", 1).u64(..), first);
        for mut other in [dice(8, "charge", 1), dice(7, "charges", 1), dice(7, "charge", 2)] {
            assert_ne!(other.u64(..), first);
        }
    }
}
