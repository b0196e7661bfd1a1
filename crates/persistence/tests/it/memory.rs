use awaitly_persistence::MemoryStore;

mod conformance {
    use super::MemoryStore;
    awaitly_persistence::conformance_tests!(MemoryStore::new());
}
