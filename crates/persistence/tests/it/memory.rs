use awaitly_persistence::MemoryStore;

mod conformance {
    use super::MemoryStore;
    awaitly_persistence::conformance_tests!(MemoryStore::new());
    awaitly_persistence::closing_tests!(MemoryStore::new());
    awaitly_persistence::dispatch_tests!(MemoryStore::new());
}
