//! HTTP APIs on API Gateway (payload format 2.0): requests in; JSON, HTML or RFC 9457 problem details out.
//!
//! Called by the functions behind an HTTP API. [`run`] turns every error and every panic into a problem, stops before
//! Lambda does, and logs one line per request. It does not show the public anything internal, and to log anything that a
//! client sent: a [`Failure`](crate::Failure) is for the operator, a [`Problem`] for the caller, and neither is made of the
//! other.

mod hidden;
mod json;
mod pointer;
mod request;
mod response;
mod serve;
pub mod shape;

pub use hidden::Hidden;
pub use json::{DEPTH_MAX, Document, Unread};
pub use pointer::{NAME_BYTES_MAX, Pointer};
pub use request::{BODY_BYTES_MAX, Request};
pub use response::{FAULTS_MAX, Fault, Faults, PROBLEM_BYTES_MAX, Problem, RETRY_AFTER_S, Refused, Response};
pub use serve::{answer, run};
