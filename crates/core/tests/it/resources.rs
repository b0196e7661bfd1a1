use std::sync::{Arc, Mutex};

use awaitly_core::resource::{self, Error, Scope};

use crate::world::ServiceError;

/// Writes down what was closed, in its order.
#[derive(Clone, Default)]
struct Closed(Arc<Mutex<Vec<&'static str>>>);

impl Closed {
    /// A resource that is written down when it is released, and fails to be where it is called `stuck`.
    fn add(&self, scope: &Scope, name: &'static str) -> &'static str {
        let closed = self.clone();
        scope.add(name, move |name| async move {
            closed.0.lock().unwrap().push(name);
            if name == "stuck" { Err("it is stuck") } else { Ok(()) }
        })
    }

    fn names(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn resources_are_released_in_reverse_order_despite_failure() {
    for fails in [false, true] {
        let closed = Closed::default();
        let result = resource::scope(async |scope| {
            closed.add(scope, "a");
            closed.add(scope, "b");
            assert_eq!((closed.add(scope, "c"), scope.len()), ("c", 3));
            if fails { Err(ServiceError::Down) } else { Ok(7) }
        })
        .await;
        assert_eq!(closed.names(), ["c", "b", "a"]);
        match result {
            Ok(value) => assert_eq!((value, fails), (7, false)),
            Err(Error::Failed(error)) => assert_eq!((error, fails), (ServiceError::Down, true)),
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn failed_release_continues_and_keeps_result() {
    let closed = Closed::default();
    let result = resource::scope(async |scope| {
        closed.add(scope, "a");
        closed.add(scope, "stuck");
        Err::<u32, _>(ServiceError::Down)
    })
    .await;
    assert_eq!(closed.names(), ["stuck", "a"]);
    let Err(Error::Release { failures, result }) = result else { panic!("{result:?}") };
    assert_eq!((failures.len(), failures[0].to_string()), (1, "it is stuck".to_owned()));
    assert_eq!(result, Err(ServiceError::Down));
}

#[tokio::test]
async fn body_that_panics_releases_and_then_goes_on_panicking() {
    let closed = Closed::default();
    let spawned = tokio::spawn({
        let closed = closed.clone();
        async move {
            resource::scope(async |scope| {
                closed.add(scope, "a");
                if closed.names().is_empty() {
                    panic!("no such table");
                }
                Ok::<_, ServiceError>(())
            })
            .await
        }
    });
    assert!(spawned.await.unwrap_err().is_panic());
    assert_eq!(closed.names(), ["a"]);
}

#[tokio::test]
async fn inner_scope_is_released_before_the_outer_one() {
    let closed = Closed::default();
    resource::scope(async |outer| {
        closed.add(outer, "outer");
        resource::scope(async |inner| {
            closed.add(inner, "inner");
            Ok::<_, ServiceError>(())
        })
        .await
        .unwrap();
        closed.add(outer, "last");
        Ok::<_, ServiceError>(())
    })
    .await
    .unwrap();
    assert_eq!(closed.names(), ["inner", "last", "outer"]);
}
