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

#[test]
fn fan_out_counts_with_children() {
    let output = example("fan_out", &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "120 words\n21 runs, 20 of them children\n");
}

#[test]
fn nightly_runs_on_request_and_each_second() {
    let output = example("nightly", &[]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.starts_with("nightly is scheduled, 5 times ahead are known\n"), "{out}");
    assert!(out.contains("Vienna: 6 sales, as scheduled\n"), "{out}");
    assert!(out.matches("Graz: 4 sales, as scheduled\n").count() >= 3, "{out}");
    assert!(out.ends_with("often: `report`, paused\n"), "{out}");
}

/// The service of orders, with slow calls.
#[cfg(unix)]
struct OrdersService {
    process: std::process::Child,
    lines: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
    address: String,
}

#[cfg(unix)]
impl OrdersService {
    fn start(orders: &std::path::Path) -> Self {
        use std::io::BufRead as _;
        let mut command = command("orders_service", &[]);
        command.env("LISTEN", "127.0.0.1:0").env("ORDERS", orders).env("LATENCY_MS", "300");
        command.env_remove("DATABASE_URL").stdout(std::process::Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = std::io::BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        let address = line.strip_prefix("listening on ").unwrap().to_owned();
        Self { process, lines, address }
    }

    /// Sends a request, and returns the status and the body of the response.
    fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        write!(stream, "{head}content-type: text/plain\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Reads the output of the process until a line begins with `text`.
    fn wait_for(&mut self, text: &str) {
        assert!(self.lines.by_ref().map_while(Result::ok).any(|line| line.starts_with(text)), "{text}");
    }

    fn signal(&self, name: &str) {
        let process = self.process.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &process]).status().unwrap().success());
    }
}

#[cfg(unix)]
impl Drop for OrdersService {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[cfg(unix)]
fn orders_service_survives_a_kill_and_drains() {
    let folder = tempfile::tempdir().unwrap();
    let orders = folder.path().join("orders.db");
    let mut service = OrdersService::start(&orders);
    assert_eq!(service.request("PUT", "/orders/1", "tea"), (200, "paid 1299 cents\n".into()));
    assert_eq!(service.request("PUT", "/orders/1", "tea"), (200, "paid 1299 cents\n".into()));
    assert_eq!(service.request("PUT", "/orders/1", "mug").0, 409);
    assert_eq!(service.request("PUT", "/orders/2", "gold").0, 409);
    assert_eq!(service.request("GET", "/orders/3", "").0, 404);
    assert_eq!(service.request("GET", "/schedules", "").0, 200);
    // A kill between two calls of the warehouse.
    let address = service.address.clone();
    let placing = std::thread::spawn(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let head = "PUT /orders/4 HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\n\r\ntea";
        std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
        stream
    });
    service.wait_for("pack hold 7");
    service.wait_for("pack hold 7");
    service.signal("KILL");
    drop((service, placing.join().unwrap()));
    let mut service = OrdersService::start(&orders);
    service.wait_for("pack hold 7");
    service.wait_for("charge for hold 7 under the key 4/charge");
    assert_eq!(service.request("PUT", "/orders/4", "tea"), (200, "paid 1299 cents\n".into()));
    service.signal("TERM");
    service.wait_for("stopped");
    assert!(service.process.wait().unwrap().success());
}
