//! The examples do what they say.

use std::path::PathBuf;
use std::process::{Command, Output};

fn example(name: &str, arguments: &[&str]) -> Output {
    // Beside this test's own folder, where cargo puts the examples that it builds with it.
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    let path = path.join("examples").join(name);
    assert!(path.exists(), "{} is not built: run the tests of the whole package", path.display());
    Command::new(path).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_quickstart_shows_typed_errors_and_a_retry() {
    let output = example("quickstart", &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let expected = "tea: hold 7, payment 107\n\
                    gold: sold out, we will write to you\n\
                    tea: the card was declined, please use another card\n\
                    the bank was asked 4 times\n";
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn the_checkout_survives_its_kills() {
    let output = example("checkout", &["--kills", "4"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert_eq!(out.matches("killed worker").count(), 4, "{out}");
    let last = out.lines().last().unwrap();
    assert!(last.starts_with("orders 160 · effects 813 · repeated "), "{last}");
    assert!(last.ends_with(" · recorded twice 0 · lost 0"), "{last}");
}

#[test]
fn the_checkout_says_what_is_wrong_with_its_orders() {
    let folder = tempfile::tempdir().unwrap();
    let orders = folder.path().join("orders.jsonl");
    std::fs::write(&orders, "{\"id\":\"a\"}\n").unwrap();
    let output = example("checkout", &["--orders", orders.to_str().unwrap()]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("line 1 of"), "{}", text(&output.stderr));
}
