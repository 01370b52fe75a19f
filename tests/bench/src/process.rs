//! What the kernel knows of a process: the processor time it took, and the most memory it held.
//!
//! [`measure`](crate::measure) asks before and after. It does not guess: a kernel that does not count is an error.

use anyhow::{Context as _, Result};
use std::{fs, time::Duration};

/// Processor time of all living threads, to the nanosecond: `/proc/<pid>/stat` counts in hundredths of a second, which is
/// ten messages. A thread that has ended is no longer counted; a function has one beside its own, which looks up names.
///
/// # Errors
/// There is no such process, or the kernel keeps no such count.
pub fn cpu(pid: u32) -> Result<Duration> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).context("the process has ended")? {
        // A thread may end between the listing and the look.
        if let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) {
            total += running_ns(&text).context("schedstat has another form")?;
        }
    }
    Ok(Duration::from_nanos(total))
}

/// `time on the processor, time waiting for it, times run`.
fn running_ns(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// The most memory that was ever resident, in KiB.
///
/// # Errors
/// There is no such process.
pub fn peak_kib(pid: u32) -> Result<u64> {
    high_water(&fs::read_to_string(format!("/proc/{pid}/status")).context("the process has ended")?).context("the kernel tells no VmHWM")
}

fn high_water(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        assert_eq!(running_ns("80100 62993 2\n"), Some(80_100));
        assert_eq!(high_water("Name:\tpayment\nVmPeak:\t   99 kB\nVmHWM:\t   12345 kB\n"), Some(12_345));
        assert_eq!(high_water("Name:\tkthreadd\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_taken_time_and_memory() {
        let pid = std::process::id();
        assert!(cpu(pid).unwrap() > Duration::ZERO);
        assert!(peak_kib(pid).unwrap() > 0);
    }
}
