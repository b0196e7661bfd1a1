//! A parent and its child, which are both sagas: an operator cancels them at any boundary.

use awaitly_core::clock::secs;
use awaitly_core::store::Dispatch;
use awaitly_core::{DurableRun, RunError, step};
use awaitly_engine::{Contract, RunExt};
use awaitly_saga::saga;
use awaitly_testing::crash::World;

use super::super::Shop;
use super::scenarios::Refused;
use super::{body, shop, text, work};

const TRIP: Contract<(), u64, Refused> = Contract::new("trip");
const HOTEL: Contract<(), u64, Refused> = Contract::new("hotel");

impl Shop {
    async fn undo(&self, what: &str) -> Result<(), RunError> {
        self.ledger.undo_once(&format!("undo {what}"), what);
        Ok(())
    }
}

async fn hotel(run: &DurableRun, shop: &Shop) -> Result<u64, Refused> {
    let booked = saga(run, async |saga| {
        let undo = |what| move |_: u64| async move { shop.undo(what).await };
        let room =
            step!(saga, "room", compensate = undo("room"), shop.act("room", run.idempotency_key("room")));
        step!(run.sleep("night", secs(30)));
        let meal =
            step!(saga, "meal", compensate = undo("meal"), shop.act("meal", run.idempotency_key("meal")));
        Ok::<_, RunError>(room + meal)
    });
    booked.await.map_err(|_| Refused::Refused)
}

async fn book(run: &DurableRun, shop: &Shop) -> Result<u64, Refused> {
    let booked = saga(run, async |saga| {
        let undo = |what| move |_: u64| async move { shop.undo(what).await };
        let seat =
            step!(saga, "seat", compensate = undo("seat"), shop.act("seat", run.idempotency_key("seat")));
        // A saga does not undo the work of a child, so a step that is recorded before does.
        let undo_hotel = move |()| async move {
            shop.undo("room").await?;
            shop.undo("meal").await
        };
        step!(saga, "hotel is booked", compensate = undo_hotel, async { Ok::<_, RunError>(()) });
        let hotel = run.child(HOTEL, "hotel", &()).await.map_err(|error| match error {
            awaitly_core::Error::Run(error) => error,
            awaitly_core::Error::Failed(_) => RunError::Empty { what: "hotel".into() },
        })?;
        let ticket = step!(
            saga,
            "ticket",
            compensate = undo("ticket"),
            shop.act("ticket", run.idempotency_key("ticket"))
        );
        Ok::<_, RunError>(seat + hotel + ticket)
    });
    booked.await.map_err(|_| Refused::Refused)
}

pub(crate) async fn trip<S: Dispatch>(world: World<S>) -> Result<u64, String> {
    let (trip, hotel) = (
        body!(shop(&world), |run, _input: (), shop| book(&run, &shop).await),
        body!(shop(&world), |run, _input: (), shop| hotel(&run, &shop).await),
    );
    let worker = world.worker().serve(TRIP, trip).serve(HOTEL, hotel);
    let client = world.client();
    let run = client.start(TRIP, "trip", &()).await.map_err(text)?;
    let child = client.find(HOTEL, "trip/hotel").map_err(text)?;
    let done = async {
        let result = run.result().await;
        // A cancelled parent does not wait until its child has undone its work.
        let _ = child.result().await;
        result
    };
    work(&worker, done).await?.map_err(text)
}
