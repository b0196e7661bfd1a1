//! Joins the calls of several operations into one call of a script.
//!
//! A script for many runs takes a part for each of them: the number of the arguments that follow, the run id, and other
//! arguments. It returns a list with an answer for each part. So the writes of many runs that wait together need one
//! call.

use redis::{Arg, Cmd, Pipeline, Value};

use super::op::{Kind, Op};
use crate::group::Queued;

/// The maximum number of parts in a call, and about the maximum size of their arguments, so that the server is not
/// blocked for long.
const MOST: (usize, usize) = (500, 1 << 20);

/// The number of arguments before the first part: the command, the hash, the number of keys, and four keys.
const BEFORE: usize = 7;

/// Returns the calls of `ops` to the server of that name, and for each call the number of parts, or `None` if the call
/// has no parts.
pub(super) fn join(ops: &[Op], server: &str) -> (Pipeline, Vec<Option<usize>>) {
    let (mut calls, mut sizes) = (Pipeline::with_capacity(ops.len()), Vec::with_capacity(ops.len()));
    let mut rest = ops;
    while let Some((first, others)) = rest.split_first() {
        let is_part = first.kind == Kind::Part;
        let joined = if is_part { fitting(first, others) } else { 0 };
        let (others, left) = others.split_at(joined);
        let mut call = first.call.clone();
        others.iter().flat_map(part).for_each(|arg| {
            call.arg(arg);
        });
        calls.add_command(first.to.addressed(call, server));
        sizes.push(is_part.then_some(1 + joined));
        rest = left;
    }
    (calls, sizes)
}

/// Returns an answer for each operation, from the answers to the calls.
pub(super) fn split(sizes: &[Option<usize>], values: Vec<Value>) -> Vec<Value> {
    let of_call = |(size, value): (&Option<usize>, Value)| match (size, value) {
        (None, value) => vec![value],
        (Some(size), Value::Array(answers)) if answers.len() == *size => answers,
        (Some(size), value) => vec![value; *size],
    };
    sizes.iter().zip(values).flat_map(of_call).collect()
}

/// Returns the number of operations that can be joined with the first one.
fn fitting(first: &Op, others: &[Op]) -> usize {
    let mut bytes = first.bytes();
    let fits = |op: &&Op| {
        bytes += op.bytes();
        op.kind == Kind::Part && script(&op.call) == script(&first.call) && bytes <= MOST.1
    };
    others.iter().take(MOST.0 - 1).take_while(fits).count()
}

/// Returns the hash of the script.
fn script(call: &Cmd) -> Option<&[u8]> {
    args(call).nth(1)
}

/// Returns the arguments of the part.
fn part(op: &Op) -> impl Iterator<Item = &[u8]> {
    args(&op.call).skip(BEFORE)
}

/// Returns the run id of the part.
pub(super) fn run_of(call: &Cmd) -> Option<&[u8]> {
    args(call).nth(BEFORE + 1)
}

fn args(call: &Cmd) -> impl Iterator<Item = &[u8]> {
    call.args_iter().map(|arg| if let Arg::Simple(bytes) = arg { bytes } else { &[] })
}

#[cfg(test)]
mod tests {
    use super::super::op::{Caller, To};
    use super::*;

    fn op(script: &str, kind: Kind, args: &[&str]) -> Op {
        let mut call = redis::cmd("EVALSHA");
        call.arg(script).arg(4).arg("run/").arg("records/").arg("waits/").arg("awaitly:").arg(args);
        Op { call, to: To::One, kind, caller: Caller::None }
    }

    fn lines(ops: &[Op]) -> (Vec<String>, Vec<Option<usize>>) {
        let (calls, sizes) = join(ops, "server");
        let line = |call: &Cmd| {
            let words = args(call).skip(1).map(|arg| String::from_utf8_lossy(arg).into_owned());
            words.collect::<Vec<_>>().join(" ")
        };
        (calls.cmd_iter().map(line).collect(), sizes)
    }

    #[test]
    fn consecutive_parts_of_one_script_are_joined() {
        let part = |script, run| op(script, Kind::Part, &["2", run, "x"]);
        let other = op("b", Kind::Wakes, &["y"]);
        let ops = [part("a", "1"), part("a", "2"), part("c", "3"), other, part("a", "4")];
        let keys = "4 run/ records/ waits/ awaitly:";
        let expected = [
            format!("a {keys} 2 1 x 2 2 x server"),
            format!("c {keys} 2 3 x server"),
            format!("b {keys} y server"),
            format!("a {keys} 2 4 x server"),
        ];
        assert_eq!(lines(&ops), (expected.to_vec(), vec![Some(2), Some(1), None, Some(1)]));
        let answer = |text: &str| Value::BulkString(text.into());
        let values = vec![
            Value::Array(vec![answer("1"), answer("2")]),
            Value::Nil,
            Value::Array(vec![answer("3")]),
            Value::Array(vec![answer("4")]),
        ];
        let split = split(&[Some(2), Some(1), None, Some(1)], values);
        let expected = [answer("1"), answer("2"), Value::Nil, Value::Array(vec![answer("3")]), answer("4")];
        assert_eq!(split, expected);
    }

    #[test]
    fn calls_are_limited_in_number_and_size() {
        let ops: Vec<_> = (0..1001).map(|_| op("a", Kind::Part, &["1", "x"])).collect();
        assert_eq!(lines(&ops).1, [Some(500), Some(500), Some(1)]);
        let large = "x".repeat(400_000);
        let ops: Vec<_> = (0..5).map(|_| op("a", Kind::Part, &["1", &large])).collect();
        assert_eq!(lines(&ops).1, [Some(2), Some(2), Some(1)]);
    }
}
