use std::time::Duration;

use awaitly_core::extend::outside;
use awaitly_core::journal::{EncodeError, Key, Payload};
use awaitly_core::{DurableRun, RunError, WaitFor};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::{AnswerRecord, answered};
use crate::request::{QuestionKind, Request};
use crate::shape::Shape;

/// A question before it is asked. Approvals and callbacks consist of one, and a quorum of one for each person.
pub(crate) struct Ask<'r, T> {
    pub(crate) run: &'r DurableRun,
    question: WaitFor<'r, AnswerRecord<T>>,
    pub(crate) request: Request,
    unencodable: Option<EncodeError>,
}

impl<'r, T> Ask<'r, T> {
    pub(crate) fn new(
        run: &'r DurableRun,
        question: WaitFor<'r, AnswerRecord<T>>,
        kind: QuestionKind,
    ) -> Self {
        let question = outside::wrapped(question, answered);
        Self { run, question, request: Request::new(kind), unencodable: None }
    }

    pub(crate) const fn request(&mut self) -> &mut Request {
        &mut self.request
    }

    pub(crate) fn encode<V: Serialize + ?Sized>(&mut self, value: &V) -> Option<Payload> {
        Payload::encode(value).map_err(|error| self.unencodable = Some(error)).ok()
    }

    pub(crate) fn expires_in(mut self, delay: Duration) -> Self {
        self.question = self.question.expires_in(delay);
        self
    }

    pub(crate) fn key(mut self, key: impl Into<Key>) -> Self {
        self.question = self.question.key(key);
        self
    }

    pub(crate) fn is_answered(&self) -> bool {
        outside::is_answered(&self.question)
    }

    pub(crate) fn name(&self) -> Key {
        outside::key_of(&self.question)
    }
}

impl<T: DeserializeOwned> Ask<'_, T> {
    /// Returns the recorded answer. Asks the question if the run has not asked it yet.
    pub(crate) async fn answer(mut self) -> Result<AnswerRecord<T>, RunError> {
        if let Some(EncodeError { type_name, reason, .. }) = self.unencodable {
            let what = format!("the question `{}`", outside::key_of(&self.question)).into();
            return Err(RunError::Unencodable { what, type_name, reason });
        }
        let is_asked = outside::entry(self.run, &self.name()).is_some();
        if !is_asked && !self.is_answered() {
            self.request.shape = Shape::of::<T>();
        }
        self.question.request(&self.request).await
    }
}
