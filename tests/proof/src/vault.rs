//! A key for a Stripe that is not there.

use lambda_kit::Failure;
use payment::key::Vault;

/// A vault with a key in it.
#[derive(Debug)]
pub struct Purse;

impl Vault for Purse {
    async fn read(&self) -> Result<Option<String>, Failure> {
        Ok(Some("sk_test_made_up".to_owned()))
    }
}
