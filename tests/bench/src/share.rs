//! A memory size's share of the processor, by a cgroup: memory / 1769 of a core, dealt out in periods of 20 ms.
//!
//! [`Function`](crate::function::Function) takes it up when init is over, which Lambda runs at full speed. It does not
//! pretend: where cgroups cannot be had, it says why, and the report repeats that.

use anyhow::{Context as _, Result, bail};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// At so many megabytes a function has one core
/// (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>).
const CORE_MB: u64 = 1769;
/// How long a period is in which the share is dealt out. Lambda's is not documented; throttled functions show gaps of it.
const PERIOD_US: u64 = 20_000;

/// How the cgroups of the bench are called.
const PREFIX: &str = "order-pipeline-bench-";

/// How this machine can hold a process to a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cgroups {
    /// The controller `cpu` of version 1, mounted here.
    V1(PathBuf),
    /// Version 2, mounted here.
    V2(PathBuf),
}

/// The share of one process. The process must have ended when this is dropped.
#[derive(Debug)]
pub struct Share {
    folder: PathBuf,
}

/// Microseconds of processor in each period.
fn quota_us(memory_mb: u64) -> u64 {
    PERIOD_US * memory_mb / CORE_MB
}

impl Cgroups {
    /// Finds out what this machine offers to this user.
    ///
    /// # Errors
    /// Nothing, with the reason in one sentence.
    pub fn of_this_machine() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("this system has no /proc")?;
        let cgroups = mounted(&mounts).context("no cgroup controller for the processor is mounted")?;
        cgroups.sweep();
        // Trying is the only honest question: mounts can be read-only, and being root is not enough.
        let tried = cgroups.folder("try");
        cgroups.make(&tried, quota_us(CORE_MB)).context("cgroups cannot be made by this user")?;
        fs::remove_dir(&tried)?;
        Ok(cgroups)
    }

    /// Holds a process, all its threads, to the share of a memory size from now on.
    ///
    /// # Errors
    /// The cgroup cannot be made or entered.
    pub fn hold(&self, pid: u32, memory_mb: u64) -> Result<Share> {
        let folder = self.folder(&pid.to_string());
        self.make(&folder, quota_us(memory_mb))?;
        let share = Share { folder };
        fs::write(share.folder.join("cgroup.procs"), pid.to_string()).context("the process cannot be put into its cgroup")?;
        Ok(share)
    }

    fn root(&self) -> &Path {
        let (Self::V1(root) | Self::V2(root)) = self;
        root
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root().join(format!("{PREFIX}{}-{name}", std::process::id()))
    }

    /// Removes what runs that were cut off have left. A cgroup with a process in it cannot be removed, and stays.
    fn sweep(&self) {
        let groups = fs::read_dir(self.root()).into_iter().flatten().flatten();
        for group in groups.filter(|group| group.file_name().to_string_lossy().starts_with(PREFIX)) {
            fs::remove_dir(group.path()).ok();
        }
    }

    fn make(&self, folder: &Path, quota_us: u64) -> Result<()> {
        match self {
            Self::V1(_) => {
                fs::create_dir(folder)?;
                fs::write(folder.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
                fs::write(folder.join("cpu.cfs_quota_us"), quota_us.to_string())?;
            }
            Self::V2(root) => {
                let controls = root.join("cgroup.subtree_control");
                if !fs::read_to_string(&controls)?.split_whitespace().any(|name| name == "cpu") {
                    fs::write(&controls, "+cpu")?;
                }
                fs::create_dir(folder)?;
                fs::write(folder.join("cpu.max"), format!("{quota_us} {PERIOD_US}"))?;
            }
        }
        Ok(())
    }
}

impl Share {
    /// Gives the share back.
    ///
    /// # Errors
    /// The process still runs.
    pub fn end(self) -> Result<()> {
        match fs::remove_dir(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => bail!("{} stays behind: {error}", self.folder.display()),
            _ => Ok(()),
        }
    }
}

/// Where the kernel's table of mounts has a controller for the processor.
fn mounted(mounts: &str) -> Option<Cgroups> {
    let lines = || mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let v1 = lines().find_map(|fields| match fields[..] {
        [_, place, "cgroup", options, ..] if options.split(',').any(|option| option == "cpu") => Some(Cgroups::V1(place.into())),
        _ => None,
    });
    // A machine that has both keeps the controller in version 1.
    v1.or_else(|| {
        lines().find_map(|fields| match fields[..] {
            [_, place, "cgroup2", ..] => Some(Cgroups::V2(place.into())),
            _ => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_function_has_a_fourteenth_of_a_core() {
        assert_eq!(quota_us(128), 1447);
        assert_eq!(quota_us(1769), PERIOD_US);
    }

    #[test]
    fn the_controller_is_found_where_it_is_mounted() {
        let both = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\n\
                    cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\ncgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n";
        assert_eq!(mounted(both), Some(Cgroups::V1("/sys/fs/cgroup/cpu,cpuacct".into())));
        assert_eq!(mounted("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"), Some(Cgroups::V2("/sys/fs/cgroup".into())));
        assert_eq!(mounted("tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"), None);
    }
}
