use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::decide::{Changed, Era, Machine, No, Rules};
use super::window::Ended;
use super::{Change, State, Tripped};
use crate::name::Name;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard, lock};
use crate::time::{Moment, Time};

/// The machine behind its lock, and in front of the lock the values that most calls need.
pub(super) struct Gate {
    pub(super) name: Name,
    pub(super) counts_successes: bool,
    slower_than: Option<Duration>,
    pub(super) time: Time,
    /// The latest era and state of the machine, packed.
    gate: AtomicU64,
    /// The moment at which an open breaker admits probes.
    probes_at: AtomicU64,
    machine: Mutex<Machine>,
    /// The successes that the machine does not count.
    pub(super) successes: AtomicU64,
    pub(super) refused: AtomicU64,
    on_change: Vec<OnChange>,
}

pub(super) type OnChange = Box<dyn Fn(&Change) + Send + Sync>;

/// The admission of a call: the era in which it begins, and whether a half-open breaker waits for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entered {
    pub(super) era: Era,
    pub(super) probe: bool,
}

/// Packs the era and the state into one number.
const fn packed(machine: &Machine) -> u64 {
    machine.era().0 << 2 | machine.state() as u64
}

const fn state_of(packed: u64) -> State {
    match packed & 3 {
        0 => State::Closed,
        1 => State::Open,
        _ => State::HalfOpen,
    }
}

impl Gate {
    pub(super) fn new(name: Name, rules: Rules, time: Time, on_change: Vec<OnChange>) -> Self {
        let machine = Machine::new(rules);
        Self {
            name,
            counts_successes: rules.counts_successes(),
            slower_than: rules.slow_rate.map(|_| rules.slower_than),
            time,
            gate: AtomicU64::new(packed(&machine)),
            probes_at: AtomicU64::new(u64::MAX),
            machine: Mutex::new(machine),
            successes: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            on_change,
        }
    }

    /// Applies `change` to the machine at the current time, and publishes the result.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Machine, Moment) -> (T, Option<Changed>)) -> T {
        self.change_at(|machine, now| change(machine, now()))
    }

    /// Works like [`change`](Self::change), and reads the time only if `change` asks for it.
    pub(super) fn change_at<T>(
        &self,
        change: impl FnOnce(&mut Machine, &dyn Fn() -> Moment) -> (T, Option<Changed>),
    ) -> T {
        let mut machine = lock(&self.machine);
        let (answer, changed) = change(&mut machine, &|| self.time.now());
        self.publish(machine, changed);
        answer
    }

    /// Publishes the machine's state to all callers, and notifies the listeners of a change.
    fn publish(&self, machine: MutexGuard<'_, Machine>, changed: Option<Changed>) {
        let packed = packed(&machine);
        // A caller that has read the gate before still finds the moment at which this breaker admits probes.
        if machine.state() == State::Open {
            let probes_at = machine.reopens().map_or(u64::MAX, |at| at.0);
            self.probes_at.store(probes_at, Ordering::Relaxed);
        }
        self.gate.store(packed, Ordering::Release);
        drop(machine);
        if let Some(changed) = changed {
            self.tell(changed, packed >> 2);
        }
    }

    /// Admits or refuses a call, without the lock in most cases.
    #[inline]
    pub(super) fn enter(&self) -> Result<Entered, No> {
        let gate = self.gate.load(Ordering::Acquire);
        match state_of(gate) {
            State::Closed => Ok(Entered { era: Era(gate >> 2), probe: false }),
            State::Open => {
                let (now, at) = (self.time.now(), Moment(self.probes_at.load(Ordering::Relaxed)));
                if now < at {
                    let retry_after = (at.0 < u64::MAX).then(|| at.since(now));
                    return Err(No { state: State::Open, retry_after });
                }
                self.probe()
            }
            State::HalfOpen => self.probe(),
        }
    }

    #[cold]
    fn probe(&self) -> Result<Entered, No> {
        self.change(|machine, now| {
            let changed = machine.look(now);
            let entered =
                machine.enter(now).map(|era| Entered { era, probe: machine.state() == State::HalfOpen });
            (entered, changed)
        })
    }

    pub(super) fn refused(&self, No { state, retry_after }: No) -> Tripped {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Tripped { name: self.name.clone(), state, retry_after }
    }

    /// Returns the moment at which an admitted call begins, if the breaker considers slow calls.
    #[inline]
    pub(super) fn began(&self) -> Option<Moment> {
        self.slower_than.map(|_| self.time.now())
    }

    #[inline]
    pub(super) fn succeeded(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
    }

    /// Records the end of a call that was admitted in `era`.
    pub(super) fn leave(&self, era: Era, failed: bool, began: Option<Moment>) {
        let slow =
            began.zip(self.slower_than).is_some_and(|(began, limit)| self.time.now().since(began) > limit);
        let mut machine = lock(&self.machine);
        let changed = machine.leave(era, Ended { failed, slow }, &|| self.time.now());
        // Without a change, there is nothing to publish.
        if changed.is_some() {
            self.publish(machine, changed);
        }
    }

    /// Records that a call admitted in `era` was dropped, or panicked.
    #[cold]
    pub(super) fn drop_call(&self, era: Era, probe: bool) {
        if std::thread::panicking() {
            self.leave(era, true, None);
        } else if probe {
            lock(&self.machine).cancel(era);
        }
    }

    #[cold]
    fn tell(&self, Changed { from, to }: Changed, number: u64) {
        tracing::info!(breaker = %self.name, %from, %to, "a circuit breaker has changed");
        let change = Change { name: self.name.clone(), from, to, number };
        for tell in &self.on_change {
            if catch_unwind(AssertUnwindSafe(|| tell(&change))).is_err() {
                tracing::warn!(breaker = %self.name, "a listener panicked: it missed a change");
            }
        }
    }
}
