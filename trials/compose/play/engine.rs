//! The contracts and the messages of a case whose runs a worker executes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::fault::{Served, run_id};
use crate::oracle;
use crate::part::{Body, Ending, What};
use crate::post::Post;

/// What a case needs in addition if a worker executes its run.
#[derive(Clone)]
pub(super) struct Engine {
    pub(super) body: Arc<Body>,
    pub(super) run: Served,
    pub(super) children: Served,
    pub(super) post: Arc<Post>,
    /// The children that the run waits for, if it comes to them.
    pub(super) awaited: Arc<BTreeSet<u16>>,
    /// The children that no cancellation of the run reaches.
    pub(super) spared: Arc<BTreeSet<u16>>,
}

impl Engine {
    pub(super) fn new(body: &Body, name: &str) -> Self {
        let children = Served::new(interned(format!("child of {name}")));
        let (_, oracle) = oracle::foretell(body);
        Self {
            post: Arc::new(Post::new(run_id(name), children, body)),
            run: Served::new(interned(format!("of {name}"))),
            children,
            awaited: Arc::new(oracle.children),
            spared: Arc::new(spared(body)),
            body: Arc::new(body.clone()),
        }
    }
}

/// The children that are detached, those of compensations, and those inside of them.
fn spared(body: &Body) -> BTreeSet<u16> {
    let mut spared = BTreeSet::new();
    body.walk(&mut |part, _| {
        let undo = match &part.what {
            What::Child(child) if child.detached || spared.contains(&part.id) => {
                spared.insert(part.id);
                &child.parts
            }
            What::SagaStep(_, undo) | What::SagaParallel(_, undo) | What::SagaEach(_, undo) => &undo.inner,
            _ => return,
        };
        let inner = Body { parts: undo.clone(), ending: Ending::Nothing };
        inner.walk(&mut |part, _| {
            if matches!(part.what, What::Child(_)) {
                spared.insert(part.id);
            }
        });
    });
    spared
}

/// A contract names its workflow for ever.
fn interned(name: String) -> &'static str {
    static NAMES: Mutex<BTreeMap<String, &'static str>> = Mutex::new(BTreeMap::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    names.entry(name).or_insert_with_key(|name| Box::leak(name.clone().into_boxed_str()))
}
