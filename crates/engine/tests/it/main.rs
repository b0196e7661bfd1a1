//! Tests of the engine, with the store in memory under paused time, and with every other store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod children;
mod clients;
mod crashes;
mod frozen;
mod mail;
mod operating;
mod queues;
mod refusals;
mod schedules;
mod starting;
mod states;
mod stopping;
mod stores;
mod waiting;
mod waking;
mod world;
