//! Secrets in AWS Secrets Manager: read once, no earlier than they are asked for, and kept while the process lives.
//!
//! Called by a function before each use of a secret, and by its `main` to have the first of these short. It does not fail a
//! start: a function whose secret has no value yet must start and wait for one. And it does not show anything it holds: no
//! `Debug`, no error has it.

use crate::{Failure, config::Env, sdk::failure, warm_up::Opening};
use aws_sdk_secretsmanager::{Client, operation::get_secret_value::GetSecretValueError};
use std::fmt;
use tokio::sync::Mutex;

/// Where a secret is kept.
pub trait SecretStore {
    /// The secret's text; [`None`] where it has no value yet.
    async fn read(&self) -> Result<Option<String>, Failure>;
}

/// A secret that parses once and is then right.
pub trait SecretText: Clone {
    /// Reads the secret's text, without the blanks around it, which come from files and consoles; empty where there is none.
    ///
    /// # Errors
    /// Transient, so that the work waits: somebody has yet to put the right text there. Says what to do, and quotes nothing.
    fn from_text(text: &str) -> Result<Self, Failure>;
}

/// A secret, cached. One caller reads it while the others of a batch wait for what it brings.
pub struct Cached<V, S> {
    store: V,
    cached: Mutex<Option<S>>,
}

impl<V, S> fmt::Debug for Cached<V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").finish_non_exhaustive()
    }
}

impl<V: SecretStore, S: SecretText> Cached<V, S> {
    /// The secret that `store` keeps. Nothing is read yet.
    pub fn new(store: V) -> Self {
        Self { store, cached: Mutex::new(None) }
    }

    /// The secret.
    ///
    /// # Errors
    /// The store's, and those of [`SecretText::from_text`]; the next call tries again.
    pub async fn get(&self) -> Result<S, Failure> {
        let mut cached = self.cached.lock().await;
        if let Some(secret) = &*cached {
            return Ok(secret.clone());
        }
        let text = self.store.read().await?;
        let secret = S::from_text(text.as_deref().map_or("", str::trim))?;
        *cached = Some(secret.clone());
        Ok(secret)
    }

    /// To be opened in init: the secret is read ahead of its first use, and the connection with it. A start still does not
    /// wait for a secret that has no value, and its first use reads it again.
    pub fn opening(&self) -> Opening<'_> {
        Opening::new("secret", async { self.get().await.map(|_| ()).map_err(|failure| failure.error_type) })
    }

    /// Forgets `refused`, unless a newer one has come in since: so that a rotated secret is found without a deployment.
    pub async fn forget(&self, refused: &S)
    where
        S: PartialEq,
    {
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

impl SecretsManager {
    /// Reads the secret's ARN from the variable `variable`; see [`Env`] for what becomes of a missing one.
    pub fn from_env(variable: &str, env: &mut Env, config: &crate::SdkConfig) -> Self {
        Self { client: Client::new(config), arn: env.required(variable) }
    }
}

impl SecretStore for SecretsManager {
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
    use crate::Kind;
    use futures_util::future::join_all;
    use std::cell::{Cell, RefCell};

    #[derive(Default)]
    struct StubSecretStore {
        text: RefCell<Option<String>>,
        reads: Cell<u32>,
    }
    impl StubSecretStore {
        fn holding(text: &str) -> Self {
            Self { text: RefCell::new(Some(text.to_owned())), ..Self::default() }
        }
    }
    impl SecretStore for &StubSecretStore {
        async fn read(&self) -> Result<Option<String>, Failure> {
            self.reads.set(self.reads.get() + 1);
            tokio::task::yield_now().await;
            Ok(self.text.borrow().clone())
        }
    }

    #[derive(Debug, Clone, PartialEq)]
    struct Word(String);
    impl SecretText for Word {
        fn from_text(text: &str) -> Result<Self, Failure> {
            match text {
                "" => Err(Failure::transient("WordMissing", "put one there")),
                word => Ok(Self(word.to_owned())),
            }
        }
    }

    #[tokio::test]
    async fn a_secret_is_read_late_and_once_even_by_ten_at_a_time() {
        let drawer = StubSecretStore::default();
        let cached = Cached::<_, Word>::new(&drawer);
        assert_eq!(drawer.reads.get(), 0);
        *drawer.text.borrow_mut() = Some(" sesame\n".into());
        for word in join_all((0..10).map(|_| cached.get())).await {
            assert_eq!(word.unwrap().0, "sesame");
        }
        assert_eq!(drawer.reads.get(), 1);
    }

    #[tokio::test]
    async fn a_missing_secret_is_looked_for_again() {
        let drawer = StubSecretStore::default();
        let cached = Cached::<_, Word>::new(&drawer);
        for missing in [None, Some(String::new()), Some(" \n".into())] {
            *drawer.text.borrow_mut() = missing;
            let failure = cached.get().await.unwrap_err();
            assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Transient, "WordMissing"));
        }
        *drawer.text.borrow_mut() = Some("sesame".into());
        assert_eq!(cached.get().await.unwrap().0, "sesame");
    }

    #[tokio::test]
    async fn a_refused_secret_is_forgotten_and_a_newer_one_is_not() {
        let drawer = StubSecretStore::holding("old");
        let cached = Cached::<_, Word>::new(&drawer);
        let old = cached.get().await.unwrap();
        *drawer.text.borrow_mut() = Some("new".into());
        cached.forget(&old).await;
        assert_eq!(cached.get().await.unwrap().0, "new");
        cached.forget(&old).await;
        cached.get().await.unwrap();
        assert_eq!(drawer.reads.get(), 2);
    }

    #[tokio::test]
    async fn debug_output_hides_the_secret() {
        let drawer = StubSecretStore::holding("sesame");
        let cached = Cached::<_, Word>::new(&drawer);
        cached.get().await.unwrap();
        assert_eq!(format!("{cached:?}"), "Cached { .. }");
    }
}
