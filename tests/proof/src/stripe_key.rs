//! A key for a Stripe that is not there.

use lambda_kit::Failure;
use payment::key::SecretStore;

/// A store with a key in it.
#[derive(Debug)]
pub struct FixedKey;

impl SecretStore for FixedKey {
    async fn read(&self) -> Result<Option<String>, Failure> {
        Ok(Some("sk_test_made_up".to_owned()))
    }
}
