use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use awaitly_core::guard::{Admission, Guard, Pass, Refusal, Verdict};
use awaitly_core::{Error, RunError, run};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::world::{Service, ServiceError};

/// Admits as many attempts as it has places; the others wait, and are refused once it is locked.
struct Door {
    name: &'static str,
    places: Semaphore,
    left: Mutex<Vec<&'static str>>,
}

struct Inside<'a> {
    door: &'a Door,
    _place: SemaphorePermit<'a>,
}

impl<E> Pass<E> for Inside<'_> {
    fn leave(self, verdict: Verdict<'_, E>) {
        self.door.left.lock().unwrap().push(match verdict {
            Verdict::Succeeded => "succeeded",
            Verdict::Failed(_) => "failed",
            Verdict::TimedOut => "timed out",
        });
    }
}

/// The refusal of a door, with a type of its own.
struct Locked(&'static str);

impl From<Locked> for Refusal {
    fn from(Locked(name): Locked) -> Self {
        Self::new(name, "locked")
    }
}

impl<'a, E> Guard<E> for &'a Door {
    type Pass = Inside<'a>;
    type Refused = Locked;
    type Wait = Pin<Box<dyn Future<Output = Result<Inside<'a>, Locked>> + Send + 'a>>;

    fn enter(&self) -> Admission<Inside<'a>, Locked, Self::Wait> {
        let door = *self;
        match door.places.try_acquire() {
            Ok(_place) => Admission::Admitted(Inside { door, _place }),
            Err(_) if door.places.is_closed() => Admission::Refused(Locked(door.name)),
            Err(_) => Admission::Wait(Box::pin(async {
                let place = door.places.acquire().await;
                place.map(|_place| Inside { door, _place }).map_err(|_| Locked(door.name))
            })),
        }
    }
}

impl Door {
    const fn new(name: &'static str, places: usize) -> Self {
        Self { name, places: Semaphore::const_new(places), left: Mutex::new(Vec::new()) }
    }
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn refusal(by: &str) -> Result<u32, Error<ServiceError>> {
    let (by, reason) = (by.into(), "locked".into());
    Err(Error::Run(RunError::Refused { step: "call".into(), by, reason, retry_after: None }))
}

#[test]
fn attempt_waits_at_one_guard_and_then_at_the_next() {
    let (service, outer, inner) = (Service::default(), Door::new("outer", 0), Door::new("inner", 0));
    let mut ended =
        pin!(run(async |run| { run.step("call", || service.call()).guard(&outer).guard(&inner).await }));
    assert!(poll(ended.as_mut()).is_pending());
    outer.places.add_permits(1);
    assert!(poll(ended.as_mut()).is_pending());
    assert_eq!((outer.places.available_permits(), service.calls()), (0, 0));
    inner.places.add_permits(1);
    assert_eq!(poll(ended.as_mut()), Poll::Ready(Ok(1)));
    for door in [&outer, &inner] {
        assert_eq!(
            (door.places.available_permits(), door.left.lock().unwrap().as_slice()),
            (1, &["succeeded"][..])
        );
    }
}

#[test]
fn inner_refusal_gives_the_outer_place_back() {
    // At once, after a wait at the outer guard, and after a wait at the inner one.
    for (outer_waits, inner_waits) in [(false, false), (true, false), (false, true), (true, true)] {
        let service = Service::default();
        let (outer, inner) = (Door::new("outer", usize::from(!outer_waits)), Door::new("inner", 0));
        let mut ended =
            pin!(run(async |run| { run.step("call", || service.call()).guard(&outer).guard(&inner).await }));
        if !inner_waits {
            inner.places.close();
        }
        let mut polled = poll(ended.as_mut());
        if outer_waits {
            assert!(polled.is_pending());
            outer.places.add_permits(1);
            polled = poll(ended.as_mut());
        }
        if inner_waits {
            assert!(polled.is_pending());
            inner.places.close();
            polled = poll(ended.as_mut());
        }
        assert_eq!(polled, Poll::Ready(refusal("inner")));
        assert_eq!((outer.places.available_permits(), outer.left.lock().unwrap().len()), (1, 0));
        assert_eq!(service.calls(), 0);
    }
}

#[test]
fn outer_refusal_leaves_the_inner_guard_alone() {
    for waits in [false, true] {
        let (service, outer, inner) = (Service::default(), Door::new("outer", 0), Door::new("inner", 1));
        let mut ended =
            pin!(run(async |run| { run.step("call", || service.call()).guard(&outer).guard(&inner).await }));
        if waits {
            assert!(poll(ended.as_mut()).is_pending());
        }
        outer.places.close();
        assert_eq!(poll(ended.as_mut()), Poll::Ready(refusal("outer")));
        assert_eq!((inner.places.available_permits(), service.calls()), (1, 0));
    }
}

#[tokio::test]
async fn function_guard_holds_pass_or_returns_typed_refusal() {
    let (service, door) = (Service::failing([ServiceError::Down]), Door::new("door", 1));
    let at_night = Mutex::new(false);
    let by_day = || match (*at_night.lock().unwrap(), door.places.try_acquire()) {
        (false, Ok(_place)) => Ok(Inside { door: &door, _place }),
        _ => Err(Locked("night")),
    };
    let call = async || run(async |run| run.step("call", || service.call()).guard(&by_day).await).await;
    assert_eq!(call().await, Err(Error::Failed(ServiceError::Down)));
    assert_eq!(call().await, Ok(2));
    *at_night.lock().unwrap() = true;
    assert_eq!(call().await, refusal("night"));
    assert_eq!(*door.left.lock().unwrap(), ["failed", "succeeded"]);
}
