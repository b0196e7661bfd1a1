//! A type that is no guard, and a function that returns no refusal.
use awaitly_core::{RunError, guard::Guard};

struct Breaker;

fn pass<G: Guard<RunError>>(_: G) {}

fn is_open() -> bool {
    true
}

fn main() {
    pass(&Breaker);
    pass(is_open);
}
