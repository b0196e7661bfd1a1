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

/// The rule that decides which of several branches continues first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interleaving {
    /// The order in which branches are polled.
    AsPolled,
    /// The seed.
    BySeed,
}

/// A stage that plays one run according to the playbook.
pub(crate) struct Player {
    pub(crate) playbook: Arc<Mutex<Playbook>>,
    pub(crate) log: Arc<Log>,
    pub(crate) interleaving: Interleaving,
    pub(crate) seed: u64,
    /// Whether the run is volatile, so that no step is recorded.
    pub(crate) is_volatile: bool,
}

impl Player {
    fn playbook(&self) -> MutexGuard<'_, Playbook> {
        self.playbook.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the label of the step in errors: the key of a recorded step, or the name of another step.
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
        // A saga's own records have no operation of the caller.
        if self.log.keeps_book(&step.key) {
            return None;
        }
        self.log.attempt_begins(step);
        let mut playbook = self.playbook();
        playbook.started(step);
        let mut play = playbook.play(step, self.label(step), attempt);
        if let Act::Answer = play.act {
            self.log.does_not_fit(Problem::AnswerWithoutQuestion { step: self.label(step).clone() });
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
        // If the script is not an answer, the problem is already reported.
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

/// Yields to other tasks this many times.
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
