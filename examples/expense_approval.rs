//! A run that asks a person, pauses, and continues with the answer in another process.
//!
//! ```text
//! cargo run --features hitl,sqlite --example expense_approval -- claim 4200
//! cargo run --features hitl,sqlite --example expense_approval -- questions
//! cargo run --features hitl,sqlite --example expense_approval -- approve ada 4000
//! cargo run --features hitl,sqlite --example expense_approval -- claim 4200
//! ```
//!
//! The variable `EXPENSES` names the file; the default is `expenses.db`.

use awaitly::clock::days;
use awaitly::hitl::{Approvals, Inbox, LogNotifier, Resolution};
use awaitly::persistence::SqliteStore;
use awaitly::store::WaitQuery;
use awaitly::{DurableRun, RunError, Workflow, step};

#[cfg(test)]
#[path = "crash/expense_approval.rs"]
mod crash;

const RUN: &str = "trip to Graz";

/// Checks the receipts, asks a manager how much to pay, and pays that.
async fn expense(run: &DurableRun, office: &Office, cents: u64) -> Result<String, RunError> {
    step!(run, office.check_receipts(cents));
    let manager = run
        .approval("manager")
        .prompt(format!("How much of {cents} cents do we pay for the {}?", run.id()))
        .proposal(&cents)
        .answerer("ada")
        .answerer("bob")
        .expires_in(days(3))
        .notify(LogNotifier)
        .resolution()
        .await?;
    Ok(match manager {
        Resolution::Approved(answer) => {
            let paid = step!(run, "pay", office.pay(answer.value, run.idempotency_key("pay")));
            format!("paid {paid} cents, as {} said", answer.by.unwrap_or_default())
        }
        Resolution::Rejected(answer) => {
            format!("paid nothing: {} said {}", answer.by.unwrap_or_default(), answer.value)
        }
        Resolution::Expired(_) => "paid nothing: the approval expired without an answer".to_owned(),
        Resolution::Withdrawn(reason) => {
            format!("paid nothing: the question was withdrawn, {}", reason.value)
        }
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let file = std::env::var("EXPENSES").unwrap_or_else(|_| "expenses.db".into());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let store = SqliteStore::open(file).await?;
    let inbox = Inbox::new(store.clone());
    let office = Office { pays: Box::new(|_, what| println!("{what}")) };
    match *arguments {
        ["claim", cents] => {
            let cents: u64 = cents.parse()?;
            let expenses = Workflow::new("expense").store(store).input(&cents);
            match expenses.run(RUN, async |run| expense(run, &office, cents).await).await {
                Ok(paid) => println!("{paid}"),
                Err(RunError::Waiting { step }) => println!("waiting for the {step}"),
                Err(error) => return Err(error.into()),
            }
        }
        ["questions"] => {
            for question in inbox.list(WaitQuery::new()).await?.items {
                let prompt = question.prompt.unwrap_or_default();
                println!("{}: {prompt} ({})", question.key, question.answerers.join(" or "));
            }
        }
        ["approve", person, cents] => {
            inbox.at(RUN, "manager").by(person).edit(&cents.parse::<u64>()?).await?;
            println!("thank you, {person}");
        }
        ["reject", person, reason] => {
            inbox.at(RUN, "manager").by(person).reject(reason).await?;
            println!("thank you, {person}");
        }
        _ => {
            anyhow::bail!("usage: claim CENTS | questions | approve PERSON CENTS | reject PERSON REASON")
        }
    }
    Ok(())
}

/// Receives each payment: its idempotency key and its description.
type Pays = Box<dyn Fn(&str, String)>;

/// The services of the run. They pay once for each idempotency key.
struct Office {
    pays: Pays,
}

impl Office {
    async fn check_receipts(&self, cents: u64) -> Result<u64, RunError> {
        println!("checking the receipts for {cents} cents");
        Ok(cents)
    }

    async fn pay(&self, cents: u64, idempotency_key: String) -> Result<u64, RunError> {
        (self.pays)(&idempotency_key, format!("paying {cents} cents under the key `{idempotency_key}`"));
        Ok(cents)
    }
}
