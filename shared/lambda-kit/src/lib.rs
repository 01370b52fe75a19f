#![doc = include_str!("../README.md")]

mod ambient;
#[cfg(feature = "batch")]
pub mod batch;
pub mod config;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
mod failure;
#[cfg(feature = "http")]
pub mod http;
pub mod message;
pub mod publish;
pub mod sdk;
#[cfg(feature = "secrets")]
pub mod secrets;
pub mod telemetry;
pub mod trace;

pub use ambient::{Ambient, Real, deadline};
pub use failure::{Failure, Kind};
/// The runtime's error, what `main` returns.
pub use lambda_runtime::Error;

/// The AWS configuration that every client of a function shares: region and credentials from the environment that Lambda
/// sets, one HTTP stack for all.
pub async fn aws_config() -> aws_config::SdkConfig {
    aws_config::defaults(aws_config::BehaviorVersion::latest()).load().await
}
