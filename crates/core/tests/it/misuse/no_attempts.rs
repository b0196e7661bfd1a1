//! A policy without any attempt.
use awaitly_core::{Retry, clock::ms};

const POLICY: Retry = Retry::fixed(ms(10)).attempts(0);

fn main() {
    let _ = POLICY;
}
