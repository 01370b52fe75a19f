//! The proxy of this machine's environment, kept away from the loopback interface: a company's proxy refuses 127.0.0.1, and the
//! engine, the payment provider and sam's own servers are all there.
//!
//! One place for every program that a command starts: where a proxy is set and the loopback names are not excepted, this program
//! starts itself anew with `no_proxy` and `NO_PROXY` completed, and its children inherit both. A proxy stays in use for all else:
//! cargo and pip may need it.

use anyhow::{Context as _, Result};
use std::os::unix::process::CommandExt as _;

/// Every name that a program on this machine calls the loopback interface by.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "::1"];
/// Both spellings: of curl's family some read one, some the other, and Python prefers the small one.
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];
/// The variables that name a proxy.
const PROXIES: [&str; 6] = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/// Starts this program anew where its environment would send calls to the loopback interface through a proxy. Returns where it
/// does not.
pub fn except_loopback() -> Result<()> {
    let Some(exceptions) = exceptions(|name| std::env::var(name).ok()) else { return Ok(()) };
    let program = std::env::current_exe().context("this program cannot find its own path")?;
    let mut again = std::process::Command::new(program);
    again.args(std::env::args_os().skip(1)).envs(EXCEPTIONS.map(|name| (name, &exceptions)));
    // The same process goes on: its id, its terminal and its parent stay.
    Err(again.exec()).context("this program could not be started anew with no_proxy set")
}

/// What both variables have to say; [`None`] where nothing has to change.
fn exceptions(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    PROXIES.iter().find_map(|name| variable(name).filter(|proxy| !proxy.is_empty()))?;
    let said = EXCEPTIONS.map(|name| variable(name).unwrap_or_default());
    if said.iter().all(|list| excepts_loopback(list)) {
        return None;
    }
    let hosts = said.iter().flat_map(|list| entries(list));
    // A star counts where it stands alone.
    if hosts.clone().any(|host| host == "*") {
        return Some("*".to_owned());
    }
    let mut completed: Vec<&str> = Vec::new();
    for host in hosts.chain(LOOPBACK) {
        if !completed.contains(&host) {
            completed.push(host);
        }
    }
    Some(completed.join(","))
}

fn excepts_loopback(list: &str) -> bool {
    list.trim() == "*" || LOOPBACK.iter().all(|name| entries(list).any(|entry| entry == *name))
}

fn entries(list: &str) -> impl Iterator<Item = &str> + Clone {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Option<String> {
        exceptions(|name| variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn without_a_proxy_nothing_changes() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("http_proxy", "")]), None);
        assert_eq!(of(&[("no_proxy", "intranet")]), None);
    }

    #[test]
    fn a_proxy_never_gets_loopback() {
        for name in PROXIES {
            assert_eq!(of(&[(name, "http://proxy:3128")]).as_deref(), Some("127.0.0.1,localhost,::1"), "{name}");
        }
    }

    #[test]
    fn exceptions_of_both_spellings_stay() {
        let both = of(&[("HTTP_PROXY", "p"), ("no_proxy", "intranet, .corp"), ("NO_PROXY", "localhost,intranet")]);
        assert_eq!(both.as_deref(), Some("intranet,.corp,localhost,127.0.0.1,::1"));
        let one = of(&[("HTTP_PROXY", "p"), ("NO_PROXY", "*")]);
        assert_eq!(one.as_deref(), Some("*"), "the other spelling too");
    }

    #[test]
    fn what_is_complete_is_left_alone() {
        let complete = "127.0.0.1,localhost,::1,intranet";
        assert_eq!(of(&[("http_proxy", "p"), ("no_proxy", complete), ("NO_PROXY", complete)]), None);
        assert_eq!(of(&[("http_proxy", "p"), ("no_proxy", "*"), ("NO_PROXY", "*")]), None);
        let made = of(&[("http_proxy", "p")]).unwrap();
        assert_eq!(of(&[("http_proxy", "p"), ("no_proxy", &made), ("NO_PROXY", &made)]), None, "no start without end");
        let star = of(&[("http_proxy", "p"), ("no_proxy", "*")]).unwrap();
        assert_eq!(of(&[("http_proxy", "p"), ("no_proxy", &star), ("NO_PROXY", &star)]), None, "no start without end");
    }
}
