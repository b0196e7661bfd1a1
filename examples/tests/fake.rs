//! A fake shop for the tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use awaitly::testing::crash::Ledger;
use awaitly::testing::fault::{Network, Service, Unreachable};
use awaitly::testing::mock::Mock;

use crate::workflow::{Hold, NoCourier, Payment, PaymentError, Shop, SoldOut};

/// A shop that notes each effect once for each idempotency key. A test can interrupt the line to the bank, and sets the
/// answers of the bank.
pub(crate) struct FakeShop {
    note: Box<dyn Fn(&str, &str) + Send + Sync>,
    pub(crate) line: Service,
    pub(crate) bank: Mock<Charge, Result<Payment, PaymentError>>,
    has_courier: bool,
}

/// The hold that is charged for, and the idempotency key.
pub(crate) type Charge = (u64, String);

/// The effects, by idempotency key.
pub(crate) type Notes = Arc<Mutex<BTreeMap<String, String>>>;

impl FakeShop {
    /// Creates a shop that notes its effects in the ledger of a crash test.
    pub(crate) fn in_ledger(ledger: Ledger) -> Self {
        let note = move |key: &str, what: &str| {
            ledger.note_once(key, what);
        };
        Self::new(note)
    }

    /// Creates a shop that notes its effects in a map.
    pub(crate) fn noting() -> (Self, Notes) {
        let notes = Notes::default();
        let noted = Arc::clone(&notes);
        let note = move |key: &str, what: &str| {
            noted.lock().unwrap_or_else(PoisonError::into_inner).insert(key.into(), what.into());
        };
        (Self::new(note), notes)
    }

    /// Returns the shop at a place without a courier.
    pub(crate) fn without_courier(self) -> Self {
        Self { has_courier: false, ..self }
    }

    fn new(note: impl Fn(&str, &str) + Send + Sync + 'static) -> Self {
        let bank = Mock::new("bank");
        bank.answers(|(hold, _): &Charge| Ok(Payment { id: 100 + hold }));
        Self { note: Box::new(note), line: Network::new(7).service("bank"), bank, has_courier: true }
    }
}

impl Shop for FakeShop {
    async fn reserve(&self, sku: &str, key: String) -> Result<Hold, SoldOut> {
        (self.note)(&key, &format!("reserve {sku}"));
        Ok(Hold { id: 7, sku: sku.into() })
    }

    async fn release(&self, hold: Hold) -> Result<(), SoldOut> {
        (self.note)(&format!("hold {}", hold.id), "release");
        Ok(())
    }

    async fn charge(&self, hold: &Hold, key: String) -> Result<Payment, PaymentError> {
        let charge = async || {
            let payment = self.bank.call((hold.id, key.clone()))?;
            (self.note)(&key, &format!("charge for hold {}", hold.id));
            Ok(payment)
        };
        self.line.call(charge).await
    }

    async fn refund(&self, payment: Payment) -> Result<(), PaymentError> {
        (self.note)(&format!("payment {}", payment.id), "refund");
        Ok(())
    }

    async fn ship(&self, hold: &Hold, key: String) -> Result<(), NoCourier> {
        if !self.has_courier {
            return Err(NoCourier);
        }
        (self.note)(&key, &format!("ship {}", hold.sku));
        Ok(())
    }
}

impl From<Unreachable> for PaymentError {
    fn from(_: Unreachable) -> Self {
        Self::Unreachable
    }
}
