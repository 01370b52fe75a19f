//! The archive bucket of audit records, on AWS. The tables and the topic have their ports in `pipeline` and `lambda-kit`.
//!
//! `main.rs` wires it. It does not read: the operator writes audit records and nobody takes them back.

use super::Archive;
use aws_sdk_s3::{Client, primitives::ByteStream};
use lambda_kit::{Failure, SdkConfig, config::Env, sdk::failure};

/// A bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: Client,
    name: String,
}

impl Bucket {
    /// Reads the bucket's name from the variable `variable`; see [`Env`] for what becomes of a missing one.
    pub fn from_env(variable: &str, env: &mut Env, config: &SdkConfig) -> Self {
        Self { client: Client::new(config), name: env.required(variable) }
    }
}

impl Archive for Bucket {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Failure> {
        let call = self.client.put_object().bucket(&self.name).key(key).content_type("application/json");
        call.body(ByteStream::from(bytes)).send().await.map(|_| ()).map_err(|error| failure("PutObject", error))
    }
}
