//! The body of a workflow as data: `perform` executes it, `oracle` predicts it and `show` prints it.

use crate::value::Value;

/// A workflow's body, and the number that it was drawn from.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) parts: Vec<Part>,
    pub(crate) ending: Ending,
}

/// The value that the body returns beside the digest of its parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ending {
    Nothing,
    Float(f64),
    Wide(u128),
}

/// One part of a body.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Unique in the body. The name of the part, and so its key, is made from it.
    pub(crate) id: u16,
    /// Whether the body goes on if the part fails.
    pub(crate) handled: bool,
    pub(crate) what: What,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    Step(Step),
    /// `parallel!` of two or three branches.
    Parallel(Vec<Deed>),
    /// `race!` of two or three calls.
    Race(Vec<Deed>),
    Each(Each),
    Ask(Ask),
    /// A sleep of so many units of time.
    Sleep(u8),
    /// A resource that is acquired, used by the parts, and released.
    Resource(Vec<Part>),
    /// A run of another workflow, called by a step.
    Call(Vec<Part>),
    /// A run of another workflow, which a worker executes.
    Child(Child),
    Receive(Mail),
    /// The body declares that it is too late to cancel.
    TooLate,
    Saga(Vec<Part>),
    /// In a saga only, as the following ones.
    Nested(Vec<Part>),
    SagaStep(Step, Undo),
    SagaParallel(Vec<Deed>, Undo),
    SagaEach(Each, Undo),
}

/// The operation of a step, of a branch or of an item.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deed {
    /// How often it lets others go first.
    pub(crate) ticks: u8,
    pub(crate) fails: Fails,
    /// Parts that the operation executes before its effect.
    pub(crate) inner: Vec<Part>,
}

/// When an operation fails with its own error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Fails {
    #[default]
    Never,
    Always,
    /// The first calls fail.
    First(u8),
}

#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) deed: Deed,
    pub(crate) value: Value,
    pub(crate) attempts: u8,
    /// The delay between attempts, in units of time.
    pub(crate) backoff: u8,
    pub(crate) guard: Option<Sentry>,
    pub(crate) form: Form,
}

/// The form of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    When(bool),
    OrValue,
    OrElse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sentry {
    /// A breaker that opens at the first failure.
    Breaker,
    /// A limiter of one call at a time.
    Slots,
    /// Refuses so many attempts.
    Refuses(u8),
}

#[derive(Debug, Clone)]
pub(crate) struct Each {
    pub(crate) items: Vec<Deed>,
    pub(crate) concurrency: u8,
    pub(crate) key_by: bool,
    pub(crate) settle: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) reply: Reply,
    /// In units of time.
    pub(crate) expires: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Value(u64),
    Rejected,
    /// No answer comes, and the question expires.
    Never,
}

#[derive(Debug, Clone)]
pub(crate) struct Child {
    pub(crate) parts: Vec<Part>,
    /// Whether it goes on if the run around it is cancelled.
    pub(crate) detached: bool,
}

/// The messages that a part receives, one after the other. Each part has a mailbox of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mail {
    pub(crate) count: u8,
    /// The time to wait for each message, in units of time.
    pub(crate) within: Option<u16>,
    /// Whether messages come. Otherwise, the wait expires.
    pub(crate) comes: bool,
    /// Whether each message is sent again, with the same id.
    pub(crate) twice: bool,
}

/// The operation that undoes a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Undo {
    pub(crate) fails: Fails,
    pub(crate) attempts: u8,
    /// Parts that it executes before its effect, such as a question.
    pub(crate) inner: Vec<Part>,
}

/// An effect: that of a part, or of one of its branches or items.
pub(crate) type Id = (u16, u8);

impl Part {
    /// All lists of parts inside of this one.
    pub(crate) fn lists(&self) -> Vec<&Vec<Self>> {
        match &self.what {
            What::Step(step) => vec![&step.deed.inner],
            What::Parallel(deeds) | What::Race(deeds) => deeds.iter().map(|deed| &deed.inner).collect(),
            What::Each(each) => each.items.iter().map(|deed| &deed.inner).collect(),
            What::Ask(_) | What::Sleep(_) | What::TooLate | What::Receive(_) => Vec::new(),
            What::Child(child) => vec![&child.parts],
            What::Resource(parts) | What::Call(parts) | What::Saga(parts) | What::Nested(parts) => {
                vec![parts]
            }
            What::SagaStep(step, undo) => vec![&step.deed.inner, &undo.inner],
            What::SagaParallel(deeds, undo) => {
                deeds.iter().map(|deed| &deed.inner).chain([&undo.inner]).collect()
            }
            What::SagaEach(each, undo) => {
                each.items.iter().map(|deed| &deed.inner).chain([&undo.inner]).collect()
            }
        }
    }

    pub(crate) fn lists_mut(&mut self) -> Vec<&mut Vec<Self>> {
        match &mut self.what {
            What::Step(step) => vec![&mut step.deed.inner],
            What::Parallel(deeds) | What::Race(deeds) => {
                deeds.iter_mut().map(|deed| &mut deed.inner).collect()
            }
            What::Each(each) => each.items.iter_mut().map(|deed| &mut deed.inner).collect(),
            What::Ask(_) | What::Sleep(_) | What::TooLate | What::Receive(_) => Vec::new(),
            What::Child(child) => vec![&mut child.parts],
            What::Resource(parts) | What::Call(parts) | What::Saga(parts) | What::Nested(parts) => {
                vec![parts]
            }
            What::SagaStep(step, undo) => vec![&mut step.deed.inner, &mut undo.inner],
            What::SagaParallel(deeds, undo) => {
                deeds.iter_mut().map(|deed| &mut deed.inner).chain([&mut undo.inner]).collect()
            }
            What::SagaEach(each, undo) => {
                each.items.iter_mut().map(|deed| &mut deed.inner).chain([&mut undo.inner]).collect()
            }
        }
    }

    /// The letter that its name begins with.
    pub(crate) const fn letter(&self) -> char {
        match &self.what {
            What::Step(_) | What::SagaStep(..) => 's',
            What::Parallel(_) | What::SagaParallel(..) => 'p',
            What::Race(_) => 'r',
            What::Each(_) | What::SagaEach(..) => 'e',
            What::Ask(_) => 'q',
            What::Sleep(_) => 'n',
            What::Call(_) => 'c',
            What::Child(_) => 'k',
            What::Receive(_) => 'm',
            What::Resource(_) | What::TooLate | What::Saga(_) | What::Nested(_) => 'x',
        }
    }

    /// How often its operation may be called again because an attempt failed.
    pub(crate) const fn attempts(&self) -> u32 {
        match &self.what {
            What::Step(step) | What::SagaStep(step, _) => step.attempts as u32,
            _ => 1,
        }
    }
}

impl Part {
    /// How often it waits for its time, a back-off or a guard.
    pub(crate) fn waits(&self) -> u32 {
        match &self.what {
            What::Sleep(_) => 1,
            What::Step(step) | What::SagaStep(step, _) => {
                let refused = if let Some(Sentry::Refuses(times)) = step.guard { times.into() } else { 0 };
                u32::from(step.attempts.saturating_sub(1)) + refused
            }
            _ => 0,
        }
    }
}

impl Deed {
    /// Whether the operation may wait: for an answer, for its time, for a back-off or a guard, or for another run.
    pub(crate) fn may_wait(&self) -> bool {
        self.inner.iter().any(Part::may_wait)
    }
}

impl Part {
    fn may_wait(&self) -> bool {
        let waits = match &self.what {
            What::Ask(_) | What::Sleep(_) | What::Call(_) | What::Child(_) | What::Receive(_) => true,
            What::Step(step) | What::SagaStep(step, _) => step.may_wait(),
            _ => false,
        };
        waits || self.lists().into_iter().flatten().any(Self::may_wait)
    }
}

impl Step {
    /// A step without options.
    pub(crate) const fn of(deed: Deed) -> Self {
        Self { deed, value: Value::Number(7), attempts: 1, backoff: 0, guard: None, form: Form::Plain }
    }

    /// Whether a back-off or a refusal may let it wait.
    pub(crate) fn may_wait(&self) -> bool {
        let fails_first = self.deed.fails != Fails::Never || !self.deed.inner.is_empty();
        self.attempts > 1 && (fails_first || self.guard.is_some())
    }
}

impl Undo {
    /// Whether it may wait.
    pub(crate) fn may_wait(&self) -> bool {
        self.inner.iter().any(Part::may_wait) || (self.attempts > 1 && self.fails != Fails::Never)
    }
}

impl Body {
    /// Calls `see` with each part, and how often the steps around it may be attempted in all.
    pub(crate) fn walk<'a>(&'a self, see: &mut impl FnMut(&'a Part, u32)) {
        walk(&self.parts, 1, see);
    }

    /// The parts of a child.
    pub(crate) fn child(&self, id: u16) -> Option<&[Part]> {
        let mut found = None;
        self.walk(&mut |part, _| match &part.what {
            What::Child(child) if part.id == id => found = Some(child.parts.as_slice()),
            _ => {}
        });
        found
    }

    /// Whether only a worker can execute the body.
    pub(crate) fn needs_worker(&self) -> bool {
        let mut needs = false;
        self.walk(&mut |part, _| needs |= matches!(part.what, What::Child(_) | What::Receive(_)));
        needs
    }

    /// Calls `see` with each part and the number of the child whose body contains it, which is 0 for the run itself.
    pub(crate) fn owned<'a>(&'a self, see: &mut impl FnMut(&'a Part, u16)) {
        owned(&self.parts, 0, see);
    }

    pub(crate) fn count(&self) -> usize {
        let mut count = 0;
        self.walk(&mut |_, _| count += 1);
        count
    }
}

fn owned<'a>(parts: &'a [Part], owner: u16, see: &mut impl FnMut(&'a Part, u16)) {
    for part in parts {
        see(part, owner);
        let owner = if matches!(part.what, What::Child(_)) { part.id } else { owner };
        part.lists().into_iter().for_each(|list| owned(list, owner, see));
    }
}

fn walk<'a>(parts: &'a [Part], times: u32, see: &mut impl FnMut(&'a Part, u32)) {
    for part in parts {
        see(part, times);
        for list in part.lists() {
            walk(list, times * part.attempts(), see);
        }
    }
}
