//! What a signal does to a command: it ends, what it started ends with it, and the person hears what is true now.

use anyhow::Result;
use std::cell::Cell;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Why a command ended early without anything being wrong: what is true now, for the person who interrupted it.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; {0}")]
pub struct Interrupted(pub String);

/// Runs a command to its end, or until a signal comes: `meaning` then says what is true, and is [`None`] where a signal is the command's
/// ordinary end.
pub fn until_interrupted(command: impl Future<Output = Result<ExitCode>>, meaning: Option<&'static str>) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(unless_signalled(command, meaning, interrupted));
    // Calls run in threads of their own: a person who interrupts does not wait for the answer of one.
    runtime.shutdown_background();
    result
}

/// Awaits a command. Dropping its future drops its guards, and those stop what it started. A command that hears the signal itself answers
/// to it: it is asked first, and while a [`CleanUp`] lives it is let end; a second signal ends that too.
async fn unless_signalled(
    command: impl Future<Output = Result<ExitCode>>,
    meaning: Option<&'static str>,
    signal: impl AsyncFn() -> Result<()>,
) -> Result<ExitCode> {
    tokio::pin!(command);
    for is_last in [false, true] {
        tokio::select! {
            biased;
            result = &mut command => return result,
            signal = signal() => signal?,
        }
        if is_last || !CleanUp::is_going_on() {
            break;
        }
    }
    match meaning {
        Some(sentence) => Err(Interrupted(sentence.into()).into()),
        None => Ok(ExitCode::SUCCESS),
    }
}

thread_local! {
    static CLEANING_UP: Cell<u32> = const { Cell::new(0) };
}

/// While it lives, the command hears signals itself and puts something back before it ends.
pub struct CleanUp;

impl CleanUp {
    /// From here on, until the value is dropped.
    pub fn begin() -> Self {
        CLEANING_UP.set(CLEANING_UP.get() + 1);
        Self
    }
    fn is_going_on() -> bool {
        CLEANING_UP.get() > 0
    }
}

impl Drop for CleanUp {
    fn drop(&mut self) {
        CLEANING_UP.set(CLEANING_UP.get() - 1);
    }
}

/// Does `work`, unless a signal comes: then `meaning` says what is true at that moment.
pub async fn unless_interrupted<T>(work: impl Future<Output = Result<T>>, meaning: impl FnOnce() -> String) -> Result<T> {
    tokio::select! {
        biased;
        result = work => result,
        signal = interrupted() => signal.and_then(|()| Err(Interrupted(meaning()).into())),
    }
}

/// Ends with the first signal that asks this program to stop.
pub async fn interrupted() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn at_once() -> Result<()> {
        Ok(())
    }

    #[tokio::test]
    async fn a_signal_ends_a_command_and_says_what_is_true() {
        let error = unless_signalled(std::future::pending(), Some("nothing was changed"), at_once).await.unwrap_err();
        assert_eq!(error.to_string(), "interrupted; nothing was changed");
        assert!(unless_signalled(std::future::pending(), None, at_once).await.is_ok(), "its ordinary end");
    }

    /// On the code before, the first look at the signal dropped what was being put back.
    #[tokio::test]
    async fn a_cleanup_is_let_end_and_a_second_signal_ends_it() {
        let signals = Cell::new(0);
        let signal = async || {
            signals.set(signals.get() + 1);
            if signals.get() > 1 { std::future::pending().await } else { Ok(()) }
        };
        let tidy = async {
            let _clean_up = CleanUp::begin();
            tokio::task::yield_now().await;
            Err(Interrupted("all is back".into()).into())
        };
        assert_eq!(unless_signalled(tidy, None, signal).await.unwrap_err().to_string(), "interrupted; all is back");
        let hangs = async {
            let _clean_up = CleanUp::begin();
            std::future::pending().await
        };
        assert!(unless_signalled(hangs, None, at_once).await.is_ok());
        assert!(!CleanUp::is_going_on());
    }
}
