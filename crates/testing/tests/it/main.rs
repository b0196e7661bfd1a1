//! Tests of this crate from outside.

mod crash;
