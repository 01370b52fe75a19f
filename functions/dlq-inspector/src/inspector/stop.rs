//! Why a command ends early: the request is at fault, or a call failed.

use domain::command::Refusal;
use lambda_kit::Failure;

/// Why an answer stops short.
#[derive(Debug)]
pub enum Stop {
    /// The request's fault.
    Refused(Refusal),
    /// A call failed.
    Failed(Failure),
}

impl Stop {
    /// The request's fault.
    pub fn refused(error: &str, message: impl Into<String>) -> Self {
        Self::Refused(Refusal::new(error, message))
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
