#![doc = include_str!("../README.md")]

mod ambient;
#[cfg(feature = "batch")]
pub mod batch;
pub mod config;
mod connector;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
mod failure;
pub mod foreign_json;
#[cfg(feature = "http")]
pub mod http;
pub mod message;
pub mod publish;
pub mod sdk;
#[cfg(feature = "secrets")]
pub mod secrets;
pub mod telemetry;
pub mod text;
pub mod trace;
pub mod warm_up;

pub use ambient::{Ambient, Real, deadline};
/// The configuration of all AWS clients.
pub use aws_types::SdkConfig;
pub use connector::{CONNECT_TIMEOUT, aws_config_over, connector};
pub use failure::{Failure, Kind};
/// The runtime's error, what `main` returns.
pub use lambda_runtime::Error;
pub use warm_up::warm_up;

/// The AWS configuration that every client of a function shares: region and credentials from the environment that Lambda
/// sets, one [`connector`] for all.
pub fn aws_config() -> SdkConfig {
    aws_config_over(connector())
}
