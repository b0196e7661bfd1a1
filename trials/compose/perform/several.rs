//! Several operations at once.

use awaitly::{DurableRun, Error, parallel, race};

use super::Process;
use crate::decisions;
use crate::fault::Fault;
use crate::part::{Deed, Each, Part};
use crate::value::mix;

pub(super) async fn parallel(
    process: &Process,
    run: &DurableRun,
    part: &Part,
    branches: &[Deed],
) -> Result<u64, Fault> {
    let (name, id) = (process.name(part), part.id);
    let values = match branches {
        [a, b] => two(process, run, &name, id, [a, b]).await,
        [a, b, c] => three(process, run, &name, id, [a, b, c]).await,
        _ => unreachable!("two or three branches"),
    };
    Ok(unless_dropped(process, id, branches, values)?.into_iter().fold(0, mix))
}

async fn two(
    process: &Process,
    run: &DurableRun,
    name: &String,
    id: u16,
    [a, b]: [&Deed; 2],
) -> Result<Vec<u64>, Fault> {
    let (a, b) = parallel!(run, name, {
        a: branch(process, run, (id, 0), a),
        b: branch(process, run, (id, 1), b),
    });
    process.saw((id, 0), &Ok(a));
    process.saw((id, 1), &Ok(b));
    Ok(vec![a, b])
}

async fn three(
    process: &Process,
    run: &DurableRun,
    name: &String,
    id: u16,
    [a, b, c]: [&Deed; 3],
) -> Result<Vec<u64>, Fault> {
    let (a, b, c) = parallel!(run, name, {
        a: branch(process, run, (id, 0), a),
        b: branch(process, run, (id, 1), b),
        c: branch(process, run, (id, 2), c),
    });
    for (index, value) in [(0, a), (1, b), (2, c)] {
        process.saw((id, index), &Ok(value));
    }
    Ok(vec![a, b, c])
}

/// If one has failed, the others were dropped, maybe while they were being recorded.
fn unless_dropped<T>(
    process: &Process,
    id: u16,
    deeds: &[Deed],
    ended: Result<T, Fault>,
) -> Result<T, Fault> {
    if ended.as_ref().is_err_and(decisions::is_failure) && !process.life.is_replaced() {
        (0..).zip(deeds).for_each(|(index, _)| process.world.dropped((id, index)));
    }
    ended
}

pub(super) async fn branch(
    process: &Process,
    run: &DurableRun,
    id: (u16, u8),
    deed: &Deed,
) -> Result<u64, Fault> {
    let mut watched = super::Watched { process, id, ended: false };
    let ended = process.operate(run, id, deed).await;
    watched.ended = true;
    ended
}

/// The value of a race is the number of the winner.
pub(super) async fn race(
    process: &Process,
    run: &DurableRun,
    part: &Part,
    calls: &[Deed],
) -> Result<u64, Fault> {
    let (name, id) = (process.name(part), part.id);
    let winner = async {
        Ok::<_, Fault>(match calls {
            [a, b] => race!(run, &name, {
                branch(process, run, (id, 0), a),
                branch(process, run, (id, 1), b),
            }),
            [a, b, c] => race!(run, &name, {
                branch(process, run, (id, 0), a),
                branch(process, run, (id, 1), b),
                branch(process, run, (id, 2), c),
            }),
            _ => unreachable!("two or three calls"),
        })
    };
    winner.await
}

pub(super) async fn each(
    process: &Process,
    run: &DurableRun,
    part: &Part,
    each: &Each,
) -> Result<u64, Fault> {
    let id = part.id;
    let items: Vec<u8> = (0..).take(each.items.len()).collect();
    let operation = |index: u8| async move {
        match each.items.get(usize::from(index)) {
            Some(deed) => branch(process, run, (id, index), deed).await,
            None => unreachable!("each item has its operation"),
        }
    };
    let mut list =
        run.each(process.name(part), items, operation).concurrency(usize::from(each.concurrency.max(1)));
    if each.key_by {
        list = list.key_by(|index| format!("k{index}"));
    }
    let mut digest = 0;
    if !each.settle {
        let values = list.await.map_err(Fault::from);
        for (index, value) in (0..).zip(unless_dropped(process, id, &each.items, values)?) {
            process.saw((id, index), &Ok(value));
            digest = mix(digest, value);
        }
        return Ok(digest);
    }
    settled(process, id, list.settle().await)
}

/// The digest of a list whose failures the body handled.
pub(super) fn settled(
    process: &Process,
    id: u16,
    results: Vec<Result<u64, Error<Fault>>>,
) -> Result<u64, Fault> {
    let (mut digest, mut first) = (0, None);
    for (index, ended) in (0..).zip(results) {
        let ended = ended.map_err(Fault::from);
        process.saw((id, index), &ended);
        match ended {
            Ok(value) => digest = mix(digest, value),
            Err(fault) if decisions::is_failure(&fault) => digest = mix(digest, super::HANDLED),
            Err(fault) => first = first.or(Some(fault)),
        }
    }
    first.map_or(Ok(digest), Err)
}
