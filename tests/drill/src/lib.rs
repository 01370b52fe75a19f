//! The alarm drill: each way in which a function can fail, and which alarm of the template fires, and when.
//!
//! `tests/alarm_drill.rs` runs it and holds the table in `docs/operations.md`. The functions are the real ones over the
//! real batch core; AWS is [`cloud`], time is tokio's paused clock, and what CloudWatch, SQS and Lambda make of it is
//! computed by the rules that their documents state, cited beside each. It does not assume a log line: what the metric
//! filters read is what the functions wrote.
//!
//! ```text
//! template ─▶ functions, roles ─▶ [`faults`] ─▶ [`run`]: handlers, [`queue`], [`cloud`] ─▶ log lines and metrics by minute
//!          └▶ [`alarm`], [`filter`] ──────────────────────────────────────────────────────▶ [`table`]: who fires when
//! ```

pub mod alarm;
pub mod cloud;
pub mod faults;
pub mod filter;
pub mod metrics;
pub mod queue;
pub mod run;
pub mod table;
pub mod wiring;

/// Within how many minutes of the first call that fails, or of the first message that waits in vain, an alarm fires.
pub const LIMIT_MINUTES: i64 = 30;
