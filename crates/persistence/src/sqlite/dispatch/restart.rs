//! Runs that start again.

use awaitly_core::store::{Input, Lease};

use super::super::apply::Batch;
use super::super::error::Failure;
use super::super::runs::RESTART;
use super::place::Ranks;

impl Batch<'_> {
    /// Restarts a run, in the next place of its queue. The run keeps its messages and its published values.
    pub(in super::super) fn restart(&mut self, lease: &Lease, input: Option<&Input>) -> Result<(), Failure> {
        let mut whole = self.held_run(lease)?;
        let mut ranks = Ranks::default();
        let (place, ranked) = self.place(&ranks, whole.row.header.place.again(self.now))?;
        ranks.keep(ranked);
        self.store_ranks(&ranks)?;
        let header = &mut whole.row.header;
        header.restart(place, self.now);
        if let Some(input) = input {
            (header.input, whole.input) = (Some(input.fingerprint), Some(input.payload.clone()));
        }
        (whole.row.held, whole.row.has_mail) = (None, false);
        self.drop_journal(lease.slot())?;
        self.drop_streams(lease.slot())?;
        self.write_whole(RESTART, &mut whole)?;
        self.leases.given_back(lease.slot());
        // The run now starts after the runs behind the limit of its key.
        self.make_room(&whole.row.header.place)
    }
}
