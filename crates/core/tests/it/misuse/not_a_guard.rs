//! A type that is no guard, and a function without its adapter.
use awaitly_core::{
    RunError,
    guard::{Guard, Refusal},
};

struct Breaker;

fn pass<G: Guard<RunError>>(_: G) {}

fn main() {
    pass(&Breaker);
    pass(|| Err::<(), _>(Refusal::new("shop", "closed")));
}
