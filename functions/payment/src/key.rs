//! The provider's secret key: read once, when it is first asked for, and again when the provider refuses it.
//!
//! Called by the Stripe client before each request, and once ahead of the first. It does not show the key: no `Debug`, no
//! error has it.

pub use lambda_kit::secrets::{SecretStore, SecretsManager};
use lambda_kit::{
    Failure,
    secrets::{Cached, SecretText},
};
use std::fmt;

/// The key, cached. No start depends on it: a function without a key must start and wait for one.
pub type StripeKey<V> = Cached<V, Secret>;

/// A secret key of the Stripe API.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The key itself, for the one header that carries it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl SecretText for Secret {
    /// Accepts secret (`sk_`) and restricted (`rk_`) keys.
    fn from_text(key: &str) -> Result<Self, Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[derive(Default)]
    struct StubSecretStore(RefCell<Option<String>>);
    impl SecretStore for &StubSecretStore {
        async fn read(&self) -> Result<Option<String>, Failure> {
            Ok(self.0.borrow().clone())
        }
    }

    #[tokio::test]
    async fn a_missing_key_is_transient_and_heals_once_set() {
        let drawer = StubSecretStore::default();
        let key = StripeKey::new(&drawer);
        for bad in [None, Some(""), Some("  "), Some("pk_test_1"), Some("{\"key\":\"sk_test_1\"}"), Some("sk_test_1 sk_test_2")] {
            *drawer.0.borrow_mut() = bad.map(str::to_owned);
            let failure = key.get().await.unwrap_err();
            assert_eq!((failure.kind, failure.error_type.as_str()), (lambda_kit::Kind::Transient, "StripeKeyMissing"), "{bad:?}");
            assert!(failure.message.contains("put-secret-value") && !failure.message.contains("test_1"), "{failure}");
        }
        *drawer.0.borrow_mut() = Some("rk_live_1".into());
        assert_eq!(key.get().await.unwrap().expose(), "rk_live_1");
    }

    #[tokio::test]
    async fn debug_output_hides_the_key() {
        let drawer = StubSecretStore(RefCell::new(Some("sk_test_1\n".into())));
        let key = StripeKey::new(&drawer);
        let secret = key.get().await.unwrap();
        assert_eq!((secret.expose(), format!("{secret:?} {key:?}").as_str()), ("sk_test_1", "[secret] Cached { .. }"));
    }
}
