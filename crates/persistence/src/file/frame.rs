//! How entries stand in a file: each in a frame that tells whether it is whole.
//!
//! ```text
//! awaitly-run 1\n
//! length of the entry (4 bytes) │ its checksum (4) │ checksum of these eight (4) │ entry
//! length ...
//! ```
//!
//! Numbers are little-endian, the checksums CRC-32. The head has a checksum of its own: without it, a length
//! that was damaged would look like a frame that was not written to its end, and all behind it like nothing.

/// The first line of a file, with the version of the format.
pub(super) const MAGIC: &[u8] = b"awaitly-run 1\n";

/// The newest format that this version reads.
pub(super) const FORMAT: u32 = 1;

/// The largest entry, in bytes: 1 GiB.
const MOST: usize = 1 << 30;

/// The length, its checksum and that of the head.
const HEAD: usize = 12;

/// What no version wrote, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) at: usize,
    pub(super) what: &'static str,
}

/// What the first line of a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Magic {
    /// The entries are ones that this version reads.
    Known,
    /// The file was not written as far as its first entry.
    Torn,
    Newer(u32),
    Foreign,
}

pub(super) fn magic(bytes: &[u8]) -> Magic {
    if bytes.starts_with(MAGIC) {
        return Magic::Known;
    }
    let written = bytes.get(..content(bytes)).unwrap_or(bytes);
    if MAGIC.starts_with(written) {
        return Magic::Torn;
    }
    let line = bytes.strip_prefix(b"awaitly-run ").and_then(|rest| rest.split(|byte| *byte == b'\n').next());
    let number = line.and_then(|line| std::str::from_utf8(line).ok()?.parse().ok());
    number.filter(|number| *number > FORMAT).map_or(Magic::Foreign, Magic::Newer)
}

/// Adds a frame to `bytes`, whose entry is what `write` adds. Where that fails, or the entry is too large,
/// `bytes` are as they were.
pub(super) fn push<E>(
    bytes: &mut Vec<u8>,
    too_large: impl FnOnce() -> E,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let begin = bytes.len();
    bytes.extend_from_slice(&[0; HEAD]);
    let written = write(bytes).and_then(|()| match bytes.len() - begin - HEAD {
        length @ ..=MOST => Ok(length),
        _ => Err(too_large()),
    });
    let length = written.inspect_err(|_| bytes.truncate(begin))?;
    let (head, entry) = bytes.get_mut(begin..).unwrap_or_default().split_at_mut(HEAD);
    // The length is not more than MOST.
    head.copy_from_slice(&self::head(length as u32, sum(entry)));
    Ok(())
}

/// The entry in the frame at `at`, and where the next frame begins. `None`: there is no whole frame, so what is
/// there, if anything, was never acknowledged.
///
/// A file that lost its power in the middle of a write may end in zeros instead of just ending: that is how a
/// file system leaves what it had made room for. No frame ends in a zero, its entry is JSON.
pub(super) fn next(bytes: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, Damage> {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some((found, rest)) = rest.split_first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let [l0, l1, l2, l3, s0, s1, s2, s3, ..] = *found;
    let (length, entry_sum) = (u32::from_le_bytes([l0, l1, l2, l3]), u32::from_le_bytes([s0, s1, s2, s3]));
    if *found != head(length, entry_sum) {
        let torn = content(bytes) <= at + HEAD;
        return torn.then_some(None).ok_or(Damage { at, what: "the head of an entry is damaged" });
    }
    let Some((entry, _)) = rest.split_at_checked(length as usize) else {
        return Ok(None);
    };
    let end = at + HEAD + entry.len();
    if sum(entry) != entry_sum {
        let torn = content(bytes) < end;
        return torn.then_some(None).ok_or(Damage { at, what: "an entry is damaged" });
    }
    Ok(Some((entry, end)))
}

fn head(length: u32, entry_sum: u32) -> [u8; HEAD] {
    let ([l0, l1, l2, l3], [s0, s1, s2, s3]) = (length.to_le_bytes(), entry_sum.to_le_bytes());
    let [h0, h1, h2, h3] = sum(&[l0, l1, l2, l3, s0, s1, s2, s3]).to_le_bytes();
    [l0, l1, l2, l3, s0, s1, s2, s3, h0, h1, h2, h3]
}

/// How long `bytes` are without the zeros at their end.
fn content(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn sum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    fn framed(entries: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in entries {
            let written = push(
                &mut bytes,
                || "too large",
                |bytes| {
                    bytes.extend_from_slice(entry);
                    Ok(())
                },
            );
            written.unwrap();
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<(Vec<&[u8]>, usize), Damage> {
        let (mut entries, mut at) = (Vec::new(), 0);
        while let Some((entry, end)) = next(bytes, at)? {
            entries.push(entry);
            at = end;
        }
        Ok((entries, at))
    }

    const ENTRIES: [&[u8]; 3] = [b"{\"a\":1}", b"{\"much longer\":\"than the first\"}", b"3"];

    #[test]
    fn what_was_framed_is_read() {
        let bytes = framed(&ENTRIES);
        assert_eq!(read(&bytes), Ok((ENTRIES.to_vec(), bytes.len())));
    }

    #[test]
    fn a_cut_or_zeroed_tail_is_dropped_and_nothing_before_it() {
        let bytes = framed(&ENTRIES);
        for cut in 0..bytes.len() {
            let whole = (0..3).rev().find(|count| framed(&ENTRIES[..*count]).len() <= cut).unwrap();
            let expected = Ok((ENTRIES[..whole].to_vec(), framed(&ENTRIES[..whole]).len()));
            assert_eq!(read(&bytes[..cut]), expected, "cut at {cut}");
            let mut zeroed = bytes.clone();
            zeroed[cut..].fill(0);
            assert_eq!(read(&zeroed), expected, "zeros from {cut} on");
        }
    }

    #[test]
    fn a_flipped_bit_is_damage_at_its_frame() {
        let bytes = framed(&ENTRIES);
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[position] ^= 1 << bit;
                let at =
                    (0..3).map(|count| framed(&ENTRIES[..count]).len()).rfind(|at| *at <= position).unwrap();
                assert_eq!(read(&flipped).unwrap_err().at, at, "bit {bit} of byte {position}");
            }
        }
    }

    #[test]
    fn an_entry_that_cannot_be_written_leaves_nothing() {
        let mut bytes = framed(&ENTRIES);
        let before = bytes.clone();
        let failed = push(
            &mut bytes,
            || "large",
            |bytes| {
                bytes.extend_from_slice(b"half");
                Err("broken")
            },
        );
        assert_eq!(failed, Err("broken"));
        assert_eq!(bytes, before);
    }

    #[test]
    fn the_first_line_tells_what_a_file_is() {
        assert_eq!(magic(b"awaitly-run 1\nrest"), Magic::Known);
        assert_eq!(magic(b"awaitly-run 27\nrest"), Magic::Newer(27));
        for torn in [&b""[..], b"awaitly-ru", b"awaitly-run 1", b"awai\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"] {
            assert_eq!(magic(torn), Magic::Torn, "{torn:?}");
        }
        for foreign in
            [&b"SQLite format 3\0"[..], b"awaitly-run x\n", b"awaitly-run 0\n", b"awaitly-run 1x", b"Awaitly"]
        {
            assert_eq!(magic(foreign), Magic::Foreign, "{foreign:?}");
        }
    }
}
