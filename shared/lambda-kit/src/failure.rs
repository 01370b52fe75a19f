//! Failures of a message, by who must act.

use std::{error::Error, fmt, sync::Arc};

/// Who must act. This decides the outcome of the message. The batch core decides by it in one `match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It passes with time: a throttle, a timeout, a lost race, a version this build does not know yet. Retried with back-off.
    Transient,
    /// It can never pass: an unreadable body, an unknown type, a rule that can never pass. Parked at once, with the reason.
    Permanent,
    /// A bug: a panic, an impossible state. Retried, and parked at the fifth receive.
    Bug,
}

/// Why a message could not be handled.
///
/// `error_type` and `message` end up in logs and in the attributes of parked messages, where operators group by the
/// first and read the second: neither may carry a body, a secret or personal data.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Who must act.
    pub kind: Kind,
    /// A short stable name to group by, such as `ThrottlingException`.
    pub error_type: String,
    /// One sentence for the operator.
    pub message: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure that passes with time.
    pub fn transient(error_type: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { kind: Kind::Transient, error_type: error_type.into(), message: message.to_string(), source: None }
    }
    /// A failure that stays, however often the message is retried.
    pub fn permanent(error_type: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { kind: Kind::Permanent, ..Self::transient(error_type, message) }
    }
    /// A failure that a developer must fix.
    pub fn bug(error_type: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { kind: Kind::Bug, ..Self::transient(error_type, message) }
    }
    /// Keeps what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }
    /// The message and every cause below it, outermost first: what the log shows.
    pub fn chain(&self) -> String {
        let mut chain = self.message.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            chain.push_str(": ");
            chain.push_str(&error.to_string());
            cause = error.source();
        }
        chain
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error_type, self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
