//! Several calls at once: all of them, the first of them, and a list with bounded concurrency.

use awaitly::{RunError, parallel, race, run, step};

async fn user(id: u32) -> Result<String, RunError> {
    Ok(format!("user {id}"))
}

async fn posts(id: u32) -> Result<Vec<u32>, RunError> {
    Ok((1..=id).collect())
}

async fn get(host: &str) -> Result<&str, RunError> {
    Ok(host)
}

async fn double(n: u32) -> Result<u32, RunError> {
    Ok(2 * n)
}

#[tokio::main]
async fn main() -> Result<(), RunError> {
    run(async |run| {
        let (user, posts) = parallel!(run, "load", { user: user(7), posts: posts(7) }); // first failure drops the others
        let fastest = race!(run, "mirror", { get("east"), get("west") }); // losers are dropped
        let doubled = step!(run.each("double", posts, double).concurrency(8)); // results in input order
        println!("{user} on {fastest}: {doubled:?}");
        Ok(())
    })
    .await
}
