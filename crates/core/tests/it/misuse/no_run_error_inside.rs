use awaitly_core::AsRunError;

#[derive(Debug)]
struct Lost;

fn end<E: AsRunError>(error: E) -> bool {
    error.as_run_error().is_some()
}

fn main() {
    let _ = end(Lost);
}
