//! Reproducible random draws: equal arguments produce equal draws, whatever else the test draws.

use crate::seed::mixed;

/// The start value of the 64-bit FNV-1a hash.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// Creates the random source for occurrence `number` of the subject that `parts` identify. Every subject and
/// occurrence has its own stream, so a draw does not depend on the number of other draws.
pub(super) fn draw(seed: u64, parts: &[&str], number: u64) -> fastrand::Rng {
    let hash = mixed(BASIS, &seed.to_le_bytes());
    // UTF-8 text never contains the byte 255, so it separates the parts unambiguously.
    let hash = parts.iter().fold(hash, |hash, part| mixed(mixed(hash, part.as_bytes()), &[u8::MAX]));
    fastrand::Rng::with_seed(mixed(hash, &number.to_le_bytes()))
}

/// Checks a probability.
///
/// # Panics
/// Panics if `chance` is not between 0 and 1.
#[track_caller]
pub(super) fn assert_chance(chance: f64) {
    assert!((0.0..=1.0).contains(&chance), "a chance must be between 0 (never) and 1 (always), not {chance}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_seed_parts_and_number() {
        let first = draw(7, &["order-42", "charge"], 1).u64(..);
        assert_eq!(draw(7, &["order-42", "charge"], 1).u64(..), first);
        for other in [
            draw(8, &["order-42", "charge"], 1),
            draw(7, &["order-42c", "harge"], 1),
            draw(7, &["order-42", "charge"], 2),
            draw(7, &["order-42", "charge", ""], 1),
        ] {
            assert_ne!(other.clone().u64(..), first);
        }
    }

    #[test]
    fn chance_of_a_tenth_hits_a_tenth_of_draws() {
        let hits = |name: &str| (0..10_000).filter(|n| draw(7, &[name], *n).f64() < 0.1).count();
        assert!((900..1100).contains(&hits("charge")), "{}", hits("charge"));
        assert!((900..1100).contains(&hits("")), "{}", hits(""));
    }
}
