//! The default name of a worker.

use std::sync::Arc;

/// The maximum length of a name, in bytes.
pub(super) const MAX_BYTES: usize = 100;

/// The maximum length of the host's part of a default name. The end of a long host name distinguishes it from others.
const HOST_BYTES: usize = 32;

/// Returns the name of the host and the process id: `web-1:4711`. Without a host name, returns the process id.
pub(super) fn of_process() -> Arc<str> {
    let process = std::process::id();
    host().map_or_else(|| process.to_string(), |host| format!("{}:{process}", shortened(host.trim()))).into()
}

fn host() -> Option<String> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let named =
        kernel.or_else(|| std::env::var("HOSTNAME").ok()).or_else(|| std::env::var("COMPUTERNAME").ok());
    named.filter(|host| !host.trim().is_empty())
}

fn shortened(host: &str) -> &str {
    host.len().checked_sub(HOST_BYTES).and_then(|start| host.get(start..)).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_name_contains_the_process_id_and_is_short() {
        let name = of_process();
        let process = std::process::id().to_string();
        assert!(*name == *process || name.ends_with(&format!(":{process}")), "{name}");
        assert!(name.len() <= HOST_BYTES + 1 + process.len(), "{name}");
    }

    #[test]
    fn long_host_name_keeps_its_end() {
        let host = format!("{}-x2k4p", "orders-".repeat(7));
        assert_eq!(shortened(&host), "ders-orders-orders-orders--x2k4p");
        assert_eq!(shortened("web-1"), "web-1");
    }
}
