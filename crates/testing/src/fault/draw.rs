//! What chance says: the same for the same seed and the same circumstances, whatever happens beside them.

use crate::seed::mixed;

/// Where the hash of FNV-1a begins (64 bits).
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// Randomness for the `number`th time of what `parts` name. No two of them share a stream, so that what is drawn
/// for one does not depend on how often another was asked for.
pub(super) fn draw(seed: u64, parts: &[&str], number: u64) -> fastrand::Rng {
    let hash = mixed(BASIS, &seed.to_le_bytes());
    // No text has the byte 255 in it, so parts cannot run into each other.
    let hash = parts.iter().fold(hash, |hash, part| mixed(mixed(hash, part.as_bytes()), &[u8::MAX]));
    fastrand::Rng::with_seed(mixed(hash, &number.to_le_bytes()))
}

/// # Panics
/// Where `chance` is no chance.
#[track_caller]
pub(super) fn assert_chance(chance: f64) {
    assert!(
        (0.0..=1.0).contains(&chance),
        "a chance is between 0 (never) and 1 (always), this one is {chance}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_depends_on_all_that_it_is_drawn_for() {
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
    fn a_chance_of_a_tenth_comes_true_in_a_tenth_of_all_draws() {
        let hits = |name: &str| (0..10_000).filter(|n| draw(7, &[name], *n).f64() < 0.1).count();
        assert!((900..1100).contains(&hits("charge")), "{}", hits("charge"));
        assert!((900..1100).contains(&hits("")), "{}", hits(""));
    }
}
