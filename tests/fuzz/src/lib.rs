//! What comes from outside, and what must hold of it whatever it is: one function per fuzz target, each of any bytes at all.
//!
//! `fuzz_targets/` hands it what libFuzzer makes up (`cargo xtask fuzz`); `tests/corpus.rs` what libFuzzer found worth
//! keeping, and the sample events. It does not know what an input means: it states what must hold of every one.
#![expect(clippy::expect_used, clippy::panic, reason = "a fuzz target fails by panicking")]

mod batch;
mod envelope;
mod intake;
mod intake_body;
mod mail;
mod outside;
mod queue;
mod signup_body;

pub use batch::batch;
pub use envelope::envelope;
pub use intake_body::{answer_to_order, intake_body};
pub use mail::mail;
pub use signup_body::{answer_to_signup, signup_body};

use aws_lambda_events::sqs::SqsEvent;

/// What Lambda hands to a queue's function: any JSON that reads as an SQS event.
pub fn sqs_event(input: &[u8]) {
    if let Ok(event) = serde_json::from_slice::<SqsEvent>(input) {
        queue::check(event.records, queue::Fault::None);
    }
}

/// What Lambda hands to `order-intake`: any JSON at all.
pub fn intake_event(input: &[u8]) {
    if let Ok(event) = serde_json::from_slice(input) {
        intake::check(&event);
    }
}

/// A fuzz target: what it holds its input against.
pub type Target = fn(&[u8]);

/// Every target, by the name of its binary and of its folder in `corpus/`.
pub const TARGETS: [(&str, Target); 7] = [
    ("envelope", envelope),
    ("sqs_event", sqs_event),
    ("batch", batch),
    ("intake_body", intake_body),
    ("signup_body", signup_body),
    ("intake_event", intake_event),
    ("mail", mail),
];

/// Runs a future to its end in time that passes when nothing else is left to do, so that no input waits for a clock.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime needs nothing of the machine").block_on(work)
}
