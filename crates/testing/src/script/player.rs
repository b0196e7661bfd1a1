use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use awaitly_core::event::StepId;
use awaitly_core::extend::stage::{Cue, Misfit, Reply, Scene, Stage};
use awaitly_core::journal::Key;

use super::outcome::{Act, Play};
use super::{Playbook, Problem};
use crate::report::Log;
use crate::seed;

/// What decides which of several branches goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interleaving {
    /// The order in which they are polled.
    AsPolled,
    /// The seed.
    BySeed,
}

/// Plays one run as the playbook says.
pub(crate) struct Player {
    pub(crate) playbook: Arc<Mutex<Playbook>>,
    pub(crate) log: Arc<Log>,
    pub(crate) interleaving: Interleaving,
    pub(crate) seed: u64,
    /// Whether no step of the run is recorded.
    pub(crate) is_volatile: bool,
}

impl Player {
    fn playbook(&self) -> MutexGuard<'_, Playbook> {
        self.playbook.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the step is called in errors: the key of a recorded step, the name of any other.
    fn label<'s>(&self, step: &'s StepId) -> &'s Key {
        if self.is_volatile || step.key.starts_with('~') { &step.name } else { &step.key }
    }

    fn turns(&self, step: &StepId, attempt: u32) -> u32 {
        match self.interleaving {
            Interleaving::AsPolled => 0,
            Interleaving::BySeed => seed::dice(self.seed, &step.key, attempt).u32(0..8),
        }
    }
}

impl Stage for Player {
    fn looks_up(&self, _: &str, step: &StepId) {
        if !self.log.keeps_book(&step.key) {
            self.playbook().looked_up(step);
        }
    }

    fn attempt(&self, step: &StepId, attempt: u32) -> Option<Scene> {
        // What a saga records of itself has no operation of yours.
        if self.log.keeps_book(&step.key) {
            return None;
        }
        self.log.attempt_begins(step);
        let mut playbook = self.playbook();
        playbook.started(step);
        let mut play = playbook.play(step, self.label(step), attempt);
        if let Act::Answer = play.act {
            self.log.does_not_fit(Problem::NotAsked { step: self.label(step).clone() });
            play = Play::unscripted();
        }
        Some(Box::pin(perform(self.turns(step, attempt), play)))
    }

    fn answer(&self, step: &StepId) -> Option<Reply> {
        let answer = self.playbook().answer(step);
        answer.unwrap_or_else(|problem| {
            self.log.does_not_fit(problem);
            None
        })
    }

    fn misfits(&self, step: &StepId, misfit: &Misfit) {
        // That an answer is none for this step is said already.
        if *misfit != Misfit::Unscripted || !self.log.has_problem_at(self.label(step)) {
            self.log.does_not_fit(Problem::misfit(self.label(step).clone(), misfit));
        }
    }
}

async fn perform(turns: u32, play: Play) -> Cue {
    pass(turns).await;
    if !play.after.is_zero() {
        tokio::time::sleep(play.after).await;
    }
    match play.act {
        Act::Give(cue) => cue,
        Act::Panic(message) => panic!("{message}"),
        Act::Hang | Act::Answer => pending().await,
    }
}

/// Lets the others go first, so many times.
pub(crate) async fn pass(mut turns: u32) {
    poll_fn(|cx| match turns.checked_sub(1) {
        None => Poll::Ready(()),
        Some(left) => {
            turns = left;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}
