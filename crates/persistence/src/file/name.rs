//! Where the file of a run stands: a name for every run id, and no two run ids in one place.
//!
//! Every byte but `a-z`, `0-9`, `_` and `-` is written as `%` and two digits, so that names also differ where
//! the file system takes upper and lower case for the same. What is longer than a file name may be stands in
//! folders: a folder ends in `.more`, a file in `.log`, so that none is in the way of another.

use std::path::{Path, PathBuf};

use awaitly_core::store::RunId;

/// How many characters stand in the name of one folder or file, beside what it begins and ends with.
const CHUNK: usize = 200;

/// So that no file is named as a device of some system is, such as `con` or `nul`.
const PREFIX: &str = "run-";
const FILE: &str = ".log";
const FOLDER: &str = ".more";

/// The path of the run's file inside the folder of the store.
pub(super) fn path(run: &RunId) -> PathBuf {
    let name = encode(run);
    let (mut path, mut rest) = (PathBuf::new(), name.as_str());
    // The name is ASCII, so that it can be cut anywhere.
    while let Some((chunk, more)) = rest.split_at_checked(CHUNK).filter(|(_, more)| !more.is_empty()) {
        path.push(format!("{chunk}{FOLDER}"));
        rest = more;
    }
    path.push(format!("{PREFIX}{rest}{FILE}"));
    path
}

/// The run whose file stands at `path` inside the folder of the store. `None`: no run's does.
pub(super) fn run(inside: &Path) -> Option<RunId> {
    let mut name = String::new();
    let folders = inside.parent()?.components();
    for folder in folders {
        name.push_str(folder.as_os_str().to_str()?.strip_suffix(FOLDER)?);
    }
    name.push_str(inside.file_name()?.to_str()?.strip_prefix(PREFIX)?.strip_suffix(FILE)?);
    let run = RunId::new(decode(&name)?).ok()?;
    // One place for each: what only looks like a run's file is none.
    (path(&run) == inside).then_some(run)
}

/// Whether there may be files of runs in a folder of that name.
pub(super) fn is_folder(name: &Path) -> bool {
    name.to_str().is_some_and(|name| name.ends_with(FOLDER))
}

fn encode(run: &str) -> String {
    let mut name = String::with_capacity(run.len());
    for byte in run.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    name
}

fn decode(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    fn of(id: &str) -> PathBuf {
        path(&RunId::new(id).unwrap())
    }

    /// A place is a relative path below the folder, of names that every file system takes, and leads back.
    fn check(id: &str) {
        let path = of(id);
        for component in path.components() {
            let Component::Normal(name) = component else { panic!("{path:?} leads elsewhere") };
            assert!(name.len() <= 255 && !name.eq_ignore_ascii_case("con.log"), "{name:?}");
            assert!(
                name.to_str().unwrap().bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'),
                "{name:?}"
            );
            assert!(!name.to_str().unwrap().bytes().any(|byte| byte.is_ascii_uppercase()), "{name:?}");
        }
        assert_eq!(run(&path).as_deref(), Some(id));
    }

    #[test]
    fn a_plain_run_id_is_easy_to_find() {
        assert_eq!(of("order-42"), Path::new("run-order-42.log"));
        assert_eq!(of("Order/42"), Path::new("run-%4frder%2f42.log"));
        assert_eq!(of(&"x".repeat(201)), Path::new(&format!("{}.more/run-x.log", "x".repeat(200))));
    }

    #[test]
    fn hostile_run_ids_have_places_of_their_own() {
        let long = "x".repeat(512);
        let ids = [
            ".",
            "..",
            "../../etc/passwd",
            "/",
            "a",
            "A",
            "a\0",
            "\0",
            "con",
            "lock",
            "%41",
            "run-a.log",
            "a.more",
            "é",
            "e\u{301}",
            "🫖",
            " ",
            "\n",
            "\\",
            &long,
            &long[1..],
            &long[..200],
            &long[..201],
            &long[..400],
        ];
        let mut places = HashMap::new();
        for id in ids {
            check(id);
            assert_eq!(places.insert(of(id), id), None);
        }
    }

    #[test]
    fn other_files_are_no_runs() {
        for other in [
            "lock",
            "run-.log",
            "run-A.log",
            "run-%61.log",
            "run-%4F.log",
            "run-a.log.new",
            "a.more/run-b.log",
            "run-%4.log",
            "run-%ff.log",
            "run-+1.log",
            "x.log",
            "run-%+1.log",
        ] {
            assert_eq!(run(Path::new(other)), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn every_run_id_has_its_own_place(one in "\\PC{1,200}", other in any::<String>(), times in 1_usize..40) {
            let repeated: String = one.repeat(times).chars().take(120).collect();
            for id in [&one, &other, &repeated] {
                if (1..=512).contains(&id.len()) {
                    check(id);
                }
            }
        }
    }
}
