use super::bearer::Bearers;
use super::links::Links;
use crate::inbox::Inbox;

/// The parts of an [`Api`](super::Api) that its routes share.
pub(super) struct Board<S> {
    pub(super) inbox: Inbox<S>,
    pub(super) bearers: Bearers,
    pub(super) links: Option<Links>,
    pub(super) body_limit: usize,
}
