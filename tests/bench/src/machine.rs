//! The machine that a report is about: no figure means anything without it.

use serde::{Deserialize, Serialize};
use std::process::Command;

/// Where and how something was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The model of its processor.
    pub processor: String,
    /// The processors that this process may use.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// The compiler.
    pub rustc: String,
}

const UNKNOWN: &str = "unknown";

impl Machine {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let rustc = Command::new("rustc").arg("--version").output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        Self {
            processor: model(&read("/proc/cpuinfo")).unwrap_or(UNKNOWN).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: Some(read("/proc/sys/kernel/osrelease").trim().to_owned())
                .filter(|text| !text.is_empty())
                .unwrap_or(UNKNOWN.to_owned()),
            rustc: rustc.unwrap_or_else(|_| UNKNOWN.to_owned()),
        }
    }
}

/// How many processes wanted a processor, on average over the last minute.
#[must_use]
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().filter(|load| !load.is_empty()).unwrap_or(UNKNOWN).to_owned()
}

fn model(cpuinfo: &str) -> Option<&str> {
    cpuinfo.lines().find(|line| line.starts_with("model name"))?.split_once(": ").map(|(_, model)| model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_named() {
        assert_eq!(model("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\n"), Some("Some CPU @ 3 GHz"));
        assert_eq!(model("BogoMIPS\t: 100\n"), None);
    }
}
