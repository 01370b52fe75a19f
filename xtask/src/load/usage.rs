//! The processor time of everything a run started, from /proc: on a machine that does other things too, wall time is theirs as
//! well. It looks at processes of the run's own stack alone.

use std::time::Duration;
use testkit::engine::function_processes;
use testkit::stack::State;

/// The unit of /proc's times, which is the same on every Linux that a program meets: `USER_HZ`, a hundred a second.
const TICK: Duration = Duration::from_millis(10);

/// Processor time so far, or between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub engine: Duration,
    /// Those that run, and those that have ended.
    pub functions: Duration,
    pub provider: Duration,
}

impl Usage {
    pub fn now(state: &State) -> Self {
        let [engine, provider] = [state.engine_pid, state.stripe_pid].map(|pid| times(pid).unwrap_or_default());
        let running = function_processes(state.engine_pid).into_iter().filter_map(|process| times(process.pid)).map(|times| times.own);
        Self { engine: engine.own, functions: running.sum::<Duration>() + engine.of_children, provider: provider.own }
    }

    pub fn since(&self, before: &Self) -> Self {
        Self {
            engine: self.engine.saturating_sub(before.engine),
            functions: self.functions.saturating_sub(before.functions),
            provider: self.provider.saturating_sub(before.provider),
        }
    }
}

/// The load average of the last minute, as the kernel writes it; empty where there is none.
pub fn load_average() -> String {
    let averages = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    averages.split(' ').next().unwrap_or_default().to_owned()
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Times {
    own: Duration,
    /// Of those that have ended and were waited for.
    of_children: Duration,
}

fn times(pid: u32) -> Option<Times> {
    read(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `pid (name) state parent …`, where the name may hold anything; user and system time, then the children's, are the fields 14
/// to 17.
fn read(stat: &str) -> Option<Times> {
    let fields = stat.rsplit(") ").next()?.split(' ').skip(11);
    let [user, system, users, systems] = *fields.take(4).map(|field| field.parse().ok()).collect::<Option<Vec<u32>>>()?.as_array::<4>()?;
    Some(Times { own: TICK * (user + system), of_children: TICK * (users + systems) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 500 0 0 0 150 50 30 20 20 0 1 0 100 1000 10";
        let ms = Duration::from_millis;
        assert_eq!(read(stat), Some(Times { own: ms(2000), of_children: ms(500) }));
        assert_eq!(read("7 (a) S 1"), None);
        if cfg!(target_os = "linux") {
            assert!(times(std::process::id()).is_some() && times(u32::MAX).is_none());
        }
    }
}
