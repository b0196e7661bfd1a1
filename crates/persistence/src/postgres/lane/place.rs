use awaitly_core::store::Lease;

/// The identity of a lease: the slot of its run, and the token.
pub(in crate::postgres) type Place = (i64, i64);

pub(super) fn place(lease: &Lease) -> Place {
    (lease.slot(), lease.token().cast_signed())
}
