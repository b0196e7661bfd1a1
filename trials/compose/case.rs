//! A body and what befalls it.

use crate::accident::Accident;
use crate::part::Body;

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) body: Body,
    pub(crate) accidents: Vec<Accident>,
    pub(crate) seed: u64,
}
