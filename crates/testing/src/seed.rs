//! Seeds: where one comes from, what is drawn from it, and how it is told.

/// The environment variable that names the seed of a test that is repeated.
pub(crate) const VARIABLE: &str = "AWAITLY_SEED";

/// The seed that the environment names.
pub(crate) fn given() -> Option<u64> {
    std::env::var(VARIABLE).ok()?.trim().parse().ok()
}

/// The source of randomness for one moment of `what`.
pub(crate) fn dice(seed: u64, what: &str, number: u32) -> fastrand::Rng {
    let seed = what
        .bytes()
        .chain(number.to_le_bytes())
        .fold(seed, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    fastrand::Rng::with_seed(seed)
}

/// Says how to repeat what has just failed.
pub(crate) fn tell(seed: u64) {
    eprintln!("the seed was {seed}: repeat it with {VARIABLE}={seed}");
}
