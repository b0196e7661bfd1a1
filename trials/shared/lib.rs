//! Parts that the programs share: files of JSON lines, and stores that exist for one test.

pub mod lines;
pub mod servers;
