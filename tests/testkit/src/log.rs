//! What is logged, for the tests that hold what never may be.
#![allow(clippy::unwrap_used, reason = "what is not as the tests expect fails them, helpers included")]

use std::{
    io,
    sync::{Arc, Mutex, Once},
};
use tracing::{Level, instrument::WithSubscriber as _};
use tracing_subscriber::fmt::MakeWriter;

/// Does `work`; returns what came of it and every line that it logged, of every level and as JSON.
///
/// It listens beside [`every_thread_listens`].
pub async fn logged<T>(work: impl Future<Output = T>) -> (T, String) {
    every_thread_listens();
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().json().with_max_level(Level::TRACE).with_writer(lines.clone()).finish();
    let done = work.with_subscriber(subscriber).await;
    (done, lines.text())
}

/// The same as a function logs it: INFO and above, each field at the top of its line.
pub async fn logged_flat<T>(work: impl Future<Output = T>) -> (T, String) {
    every_thread_listens();
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(lines.clone()).finish();
    let done = work.with_subscriber(subscriber).await;
    (done, lines.text())
}

/// From here on every thread has a subscriber that wants everything and keeps nothing. Tests that listen call it first.
///
/// tracing remembers whether a line of the program is wanted, once for all threads: a test that came first, with no subscriber
/// on its thread, could turn the line off for the one that listens.
pub fn every_thread_listens() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(io::sink).init());
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
impl MakeWriter<'_> for Lines {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}
