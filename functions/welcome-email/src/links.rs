//! The links by which a consent is confirmed: the port of `welcome-email` to the key that signs them.
//!
//! [`WelcomeEmail`](crate::WelcomeEmail) calls it where a mail asks. It does not make a link that ends a consent, though
//! the same key signs those.

use lambda_kit::{Failure, secrets::SecretStore};
use mailer::{confirmation::Question, unsubscribe::SignedLinks};

/// Where links come from.
pub trait Links {
    /// The link that confirms the consent that `question` asks for.
    async fn confirmation(&self, question: &Question) -> Result<String, Failure>;
}

impl<V: SecretStore> Links for SignedLinks<V> {
    async fn confirmation(&self, question: &Question) -> Result<String, Failure> {
        Ok(question.link(&self.api_url, &self.key.get().await?))
    }
}
