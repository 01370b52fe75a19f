//! What the commands of the project and its tests share: a client of the local engine, the shop as a customer sees it, and,
//! each behind a feature, what the tests of several crates need. Never part of a function.

#[cfg(feature = "aws")]
pub mod aws;
pub mod calls;
pub mod engine;
pub mod inbox;
#[cfg(feature = "log")]
pub mod log;
#[cfg(feature = "order")]
pub mod order;
#[cfg(feature = "samples")]
pub mod samples;
#[cfg(feature = "scratch")]
pub mod scratch;
pub mod shop;
pub mod skip;
pub mod stack;
