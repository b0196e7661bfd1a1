//! A run in memory with typed errors, a retry and a timeout.

use awaitly::clock::{ms, secs};
use awaitly::{Retry, RunError, run, step};

#[derive(Debug, thiserror::Error)]
enum CheckoutError {
    #[error(transparent)]
    Stock(#[from] StockError),
    #[error(transparent)]
    Payment(#[from] PaymentError),
    #[error(transparent)]
    Run(#[from] RunError), // timeouts, refusals, cancellation: one variant, not a wrapper
}

#[derive(Debug, thiserror::Error)]
#[error("{sku} is sold out")]
struct StockError {
    sku: String,
}

#[derive(Debug, thiserror::Error)]
enum PaymentError {
    #[error("the card was declined")]
    Declined,
    #[error("the bank does not answer")]
    Unreachable,
}

async fn checkout(shop: &Shop, sku: &str, card: &str) -> Result<String, CheckoutError> {
    run(async |run| {
        let hold = step!(run, shop.reserve(sku));
        let paid = step!(
            run,
            "charge",
            retry = Retry::exponential(ms(20))
                .attempts(3)
                .when(|e: &PaymentError| matches!(e, PaymentError::Unreachable)),
            timeout = secs(5),
            shop.charge(hold, card)
        );
        Ok(format!("hold {hold}, payment {paid}"))
    })
    .await
}

#[tokio::main]
async fn main() {
    let shop = Shop::default();
    for (sku, card) in [("tea", "4242"), ("gold", "4242"), ("tea", "0002")] {
        match checkout(&shop, sku, card).await {
            Ok(receipt) => println!("{sku}: {receipt}"),
            Err(CheckoutError::Stock(StockError { sku })) => {
                println!("{sku}: sold out, we will write to you")
            }
            Err(CheckoutError::Payment(error)) => {
                println!("{sku}: {error}, please use another card")
            }
            Err(CheckoutError::Run(error)) => println!("{sku}: {error}"),
        }
    }
    println!("the bank was asked {} times", shop.asked.load(std::sync::atomic::Ordering::Relaxed));
}

/// The services. The bank answers every second call.
#[derive(Default)]
struct Shop {
    asked: std::sync::atomic::AtomicU32,
}

impl Shop {
    async fn reserve(&self, sku: &str) -> Result<u32, StockError> {
        if sku == "tea" { Ok(7) } else { Err(StockError { sku: sku.into() }) }
    }

    async fn charge(&self, hold: u32, card: &str) -> Result<u32, PaymentError> {
        let asked = self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        match (asked % 2, card) {
            (0, _) => Err(PaymentError::Unreachable),
            (_, "0002") => Err(PaymentError::Declined),
            _ => Ok(hold + 100),
        }
    }
}
