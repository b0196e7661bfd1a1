//! The examples print the expected output.

use std::path::PathBuf;
use std::process::{Command, Output};

fn example(name: &str, arguments: &[&str]) -> Output {
    command(name, arguments).output().unwrap()
}

fn command(name: &str, arguments: &[&str]) -> Command {
    // Cargo puts the examples into a folder beside the folder of this test.
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    let path = path.join("examples").join(name);
    let build = "run `cargo build --all-features --examples` first, as `cargo xtask test` does";
    assert!(path.exists(), "{} is not built: {build}", path.display());
    let mut command = Command::new(path);
    command.args(arguments);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn quickstart_shows_typed_errors_and_a_retry() {
    let output = example("quickstart", &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let expected = "tea: hold 7, payment 107\n\
                    gold: sold out, we will write to you\n\
                    tea: the card was declined, please use another card\n\
                    the bank was asked 4 times\n";
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn checkout_survives_its_kills() {
    let output = example("checkout", &["--kills", "4"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert_eq!(out.matches("killed worker").count(), 4, "{out}");
    let last = out.lines().last().unwrap();
    assert!(last.starts_with("orders 160 · effects 813 · repeated "), "{last}");
    assert!(last.ends_with(" · recorded twice 0 · lost 0"), "{last}");
}

#[test]
fn checkout_names_the_damaged_line_of_its_orders() {
    let folder = tempfile::tempdir().unwrap();
    let orders = folder.path().join("orders.jsonl");
    std::fs::write(&orders, "{\"id\":\"a\"}\n").unwrap();
    let output = example("checkout", &["--orders", orders.to_str().unwrap()]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("line 1 of"), "{}", text(&output.stderr));
}

#[test]
fn durable_example_repeats_no_recorded_step() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("checkout.db");
    let first = example("durable", &[file.to_str().unwrap()]);
    assert!(first.status.success(), "{}", text(&first.stderr));
    let expected = "reserving tea and mug\ncharging order-42/charge\nshipping tea\nshipping mug\n\
                    order-42 is paid: 1299\n";
    assert_eq!(text(&first.stdout), expected);
    let again = example("durable", &[file.to_str().unwrap()]);
    assert_eq!(text(&again.stdout), "order-42 is paid: 1299\n");
}

#[test]
fn several_prints_results_in_input_order() {
    let output = example("several", &[]);
    assert_eq!(text(&output.stdout), "user 7 on east: [2, 4, 6, 8, 10, 12, 14]\n");
}

#[test]
fn flaky_api_counts_expected_results() {
    let output = example("flaky_api", &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let expected = "service   calls  answered  failed  refused  requests\n\
                    steady       12        12       0        0        12\n\
                    flaky        12        12       0        0        17\n\
                    slow         12        12       0        0        14\n\
                    limited      12        12       0        0        14\n\
                    down         12         0       3        9         3\n";
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn refund_saga_continues_its_undo_after_a_power_failure() {
    let output = example("refund_saga", &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let expected = "reserving tea\n\
                    charging for hold 7\n\
                    refunding payment 107\n\
                    releasing hold 7\n\
                    order-42 failed and is undone: no courier comes to this place\n\
                    \n\
                    reserving tea\n\
                    charging for hold 7\n\
                    refunding payment 107\n\
                    order-43 is interrupted: the power failed\n\
                    \n\
                    releasing hold 7\n\
                    order-43 failed and is undone: no courier comes to this place\n\
                    recorded: reserve, charge, ship, undo, undo charge, undo reserve, undo: done\n";
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn tests_example_places_or_undoes_its_orders() {
    let output = example("tests", &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let expected = "order-42/reserve: reserving tea\n\
                    order-42/charge: charging for hold 7\n\
                    order-42/ship: shipping\n\
                    order-42 is on its way, payment 107\n\
                    \n\
                    order-43/reserve: reserving anvil\n\
                    order-43/charge: charging for hold 7\n\
                    refunding payment 107\n\
                    releasing hold 7\n\
                    order-43 is undone: no courier takes it\n";
    assert_eq!(text(&output.stdout), expected);
}

/// An example contains each Rust snippet of the README line by line, so the snippet compiles and runs.
#[test]
fn each_readme_snippet_is_part_of_an_example() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let lines = |text: &str| -> String { text.lines().map(|line| line.trim().to_owned() + "\n").collect() };
    let within = |folder: &std::path::Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let in_folders = within(&root.join("examples")).into_iter().filter(|path| path.is_dir());
    let in_folders = in_folders.flat_map(|folder| within(&folder));
    let examples: Vec<String> = within(&root.join("examples"))
        .into_iter()
        .chain(in_folders)
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .map(|text| lines(&text))
        .collect();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let snippets: Vec<_> =
        readme.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(snippets.len(), 2, "the README shows one program, its body and its call");
    for snippet in snippets {
        assert!(
            examples.iter().any(|example| example.contains(&lines(snippet))),
            "no example has:\n{snippet}"
        );
    }
}

#[test]
fn expense_is_claimed_answered_and_paid_by_different_processes() {
    let folder = tempfile::tempdir().unwrap();
    let call = |arguments: &[&str]| {
        let output =
            command("expense_approval", arguments).env("EXPENSES", folder.path().join("x.db")).output();
        let output = output.unwrap();
        if output.status.success() { text(&output.stdout) } else { text(&output.stderr) }
    };
    assert_eq!(call(&["claim", "4200"]), "checking the receipts for 4200 cents\nwaiting for the manager\n");
    assert_eq!(call(&["claim", "4200"]), "waiting for the manager\n");
    let question = "manager: How much of 4200 cents do we pay for the trip to Graz? (ada or bob)\n";
    assert_eq!(call(&["questions"]), question);
    let mallory = call(&["approve", "mallory", "9999"]);
    assert!(mallory.contains("mallory may not answer this: the question is for ada, bob"), "{mallory}");
    assert_eq!(call(&["approve", "ada", "4000"]), "thank you, ada\n");
    let paid = "paying 4000 cents under the key `trip to Graz/pay`\npaid 4000 cents, as ada said\n";
    assert_eq!(call(&["claim", "4200"]), paid);
    assert_eq!(call(&["claim", "4200"]), "paid 4000 cents, as ada said\n");
    let late = call(&["reject", "bob", "too dear"]);
    assert!(late.contains("this was answered before"), "{late}");
}
