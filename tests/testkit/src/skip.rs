//! A test that cannot run says so, and is counted: libtest knows no third outcome that is decided while a test runs.
//!
//! It is not silent: what a test prints is shown only where it fails, and so this goes past libtest's capture.

use std::{
    io::{self, Write as _},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

/// What each line begins with; `cargo xtask test` counts by it.
pub const MARK: &str = "skipped ";

/// How many tests of this process were skipped.
static SKIPPED: AtomicU32 = AtomicU32::new(0);

/// Says that the test that calls it is skipped, with the number that there are of this program by now, and why.
pub fn skip(why: &str) {
    let number = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    // libtest gives each test a thread of its name.
    let thread = thread::current();
    let line = format!("{MARK}{number}: {}: {why}\n", thread.name().unwrap_or("a test"));
    // In one piece, because others write too. Where nobody reads it, there is nobody to tell.
    io::stderr().write_all(line.as_bytes()).ok();
}
