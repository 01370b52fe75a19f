//! What the commands of the project and its end-to-end tests share: a client of the local engine, and the shop as a
//! customer sees it. Never part of a function.

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "cloud")]
pub mod cloud;
pub mod engine;
pub mod inbox;
#[cfg(feature = "scratch")]
pub mod scratch;
pub mod shop;
pub mod stack;
