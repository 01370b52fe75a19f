//! The provider's secret key: read once, late, and again when the provider refuses it.
//!
//! Called by the Stripe client before each request. It refuses to show the key: no `Debug`, no error has it.

use aws_sdk_secretsmanager::{Client, operation::get_secret_value::GetSecretValueError};
use lambda_kit::{Failure, dynamodb::failure};
use std::fmt;
use tokio::sync::Mutex;

/// Where the key is kept.
pub trait Vault {
    /// The secret's text; [`None`] where it has no value yet.
    async fn read(&self) -> Result<Option<String>, Failure>;
}

/// A secret key of the Stripe API.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The key itself, for the one header that carries it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Accepts secret (`sk_`) and restricted (`rk_`) keys. Blanks around them come from files and consoles.
    fn parse(text: Option<String>) -> Result<Self, Failure> {
        let key = text.as_deref().map_or("", str::trim);
        let known = key.starts_with("sk_") || key.starts_with("rk_");
        if known && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            Ok(Self(key.to_owned()))
        } else {
            let found = if key.is_empty() { "is empty" } else { "does not hold a Stripe key alone" };
            Err(Failure::transient(
                "StripeKeyMissing",
                format_args!(
                    "the secret named by STRIPE_KEY_SECRET_ARN {found}: put one that starts with sk_ or rk_ there, as plain text, with \
                     `aws secretsmanager put-secret-value`; until then payments wait in their queue"
                ),
            ))
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The key, cached. One caller reads it while the others of the batch wait for what it brings.
#[derive(Debug)]
pub struct StripeKey<V> {
    vault: V,
    cached: Mutex<Option<Secret>>,
}

impl<V: Vault> StripeKey<V> {
    /// The key that `vault` keeps. Nothing is read yet: a function without a key must start and wait for one.
    pub fn new(vault: V) -> Self {
        Self { vault, cached: Mutex::new(None) }
    }

    /// The key.
    ///
    /// # Errors
    /// Transient, always: where there is none, somebody has yet to put it there.
    pub async fn get(&self) -> Result<Secret, Failure> {
        let mut cached = self.cached.lock().await;
        if let Some(secret) = &*cached {
            return Ok(secret.clone());
        }
        let secret = Secret::parse(self.vault.read().await?)?;
        *cached = Some(secret.clone());
        Ok(secret)
    }

    /// Forgets `refused`, unless a newer key has come in since: so that a rotated one is found without a deployment.
    pub async fn forget(&self, refused: &Secret) {
        let mut cached = self.cached.lock().await;
        if cached.as_ref() == Some(refused) {
            *cached = None;
        }
    }
}

/// A secret in AWS Secrets Manager.
#[derive(Debug)]
pub struct SecretsManager {
    /// The client.
    pub client: Client,
    /// The secret's ARN.
    pub arn: String,
}

impl Vault for SecretsManager {
    async fn read(&self) -> Result<Option<String>, Failure> {
        match self.client.get_secret_value().secret_id(&self.arn).send().await {
            Ok(output) => Ok(output.secret_string),
            // This is what a secret that was created without a value answers.
            Err(error) if error.as_service_error().is_some_and(GetSecretValueError::is_resource_not_found_exception) => Ok(None),
            Err(error) => Err(failure("GetSecretValue", error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::cell::{Cell, RefCell};

    #[derive(Default)]
    struct Drawer {
        text: RefCell<Option<String>>,
        reads: Cell<u32>,
    }
    impl Vault for &Drawer {
        async fn read(&self) -> Result<Option<String>, Failure> {
            self.reads.set(self.reads.get() + 1);
            tokio::task::yield_now().await;
            Ok(self.text.borrow().clone())
        }
    }

    #[tokio::test]
    async fn the_key_is_read_late_and_once_even_by_ten_at_a_time() {
        let drawer = Drawer::default();
        let key = StripeKey::new(&drawer);
        assert_eq!(drawer.reads.get(), 0);
        *drawer.text.borrow_mut() = Some("sk_test_1\n".into());
        for secret in join_all((0..10).map(|_| key.get())).await {
            assert_eq!(secret.unwrap().expose(), "sk_test_1");
        }
        assert_eq!(drawer.reads.get(), 1);
    }

    #[tokio::test]
    async fn a_missing_key_is_transient_says_what_to_do_and_heals_when_it_is_set() {
        let drawer = Drawer::default();
        let key = StripeKey::new(&drawer);
        for bad in [None, Some(""), Some("  "), Some("pk_test_1"), Some("{\"key\":\"sk_test_1\"}"), Some("sk_test_1 sk_test_2")] {
            *drawer.text.borrow_mut() = bad.map(str::to_owned);
            let failure = key.get().await.unwrap_err();
            assert_eq!((failure.kind, failure.error_type.as_str()), (lambda_kit::Kind::Transient, "StripeKeyMissing"), "{bad:?}");
            assert!(failure.message.contains("put-secret-value") && !failure.message.contains("test_1"), "{failure}");
        }
        *drawer.text.borrow_mut() = Some("rk_live_1".into());
        assert_eq!(key.get().await.unwrap().expose(), "rk_live_1");
    }

    #[tokio::test]
    async fn a_refused_key_is_forgotten_and_a_newer_one_is_not() {
        let drawer = Drawer::default();
        let key = StripeKey::new(&drawer);
        *drawer.text.borrow_mut() = Some("sk_test_1".into());
        let old = key.get().await.unwrap();
        *drawer.text.borrow_mut() = Some("sk_test_2".into());
        key.forget(&old).await;
        assert_eq!(key.get().await.unwrap().expose(), "sk_test_2");
        key.forget(&old).await;
        key.get().await.unwrap();
        assert_eq!(drawer.reads.get(), 2);
    }

    #[tokio::test]
    async fn debug_output_hides_the_key() {
        let drawer = Drawer::default();
        *drawer.text.borrow_mut() = Some("sk_test_1".into());
        let key = StripeKey::new(&drawer);
        let secret = key.get().await.unwrap();
        assert_eq!(format!("{secret:?} {:?}", key.cached), "[secret] Mutex { data: Some([secret]) }");
    }
}
