//! Values that are kept once and compared by number, so that a state of millions is a handful of numbers.
//!
//! Everything in a [`State`](super::world::State) that is more than a number is an [`Interned`]: rows, events, processes.
//! It does not forget: what was once kept stays for the life of the program.

use std::{
    borrow::Borrow,
    collections::HashMap,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::{LazyLock, PoisonError, RwLock},
};

/// A kept value. Two interned values of one shelf are equal if and only if their values are.
pub struct Interned<V: 'static>(&'static Kept<V>);

struct Kept<V> {
    number: u32,
    value: V,
}

impl<V> Interned<V> {
    /// Its number on its shelf.
    pub fn number(self) -> u32 {
        self.0.number
    }
    /// The value, which stays.
    pub fn value(self) -> &'static V {
        &self.0.value
    }
}

impl<V> Clone for Interned<V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<V> Copy for Interned<V> {}
impl<V> Deref for Interned<V> {
    type Target = V;
    fn deref(&self) -> &V {
        &self.0.value
    }
}
impl<V> PartialEq for Interned<V> {
    fn eq(&self, other: &Self) -> bool {
        self.0.number == other.0.number
    }
}
impl<V> Eq for Interned<V> {}
impl<V> PartialOrd for Interned<V> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<V> Ord for Interned<V> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.number.cmp(&other.0.number)
    }
}
impl<V> Hash for Interned<V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.number.hash(state);
    }
}
impl<V: fmt::Debug> fmt::Debug for Interned<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.value.fmt(f)
    }
}

/// Where the interned values of one kind are, by what tells them apart.
pub struct Interner<K, V: 'static>(LazyLock<RwLock<HashMap<K, Interned<V>>>>);

impl<K: Hash + Eq, V: Send + Sync> Interner<K, V> {
    /// An empty shelf.
    pub const fn new() -> Self {
        Self(LazyLock::new(RwLock::default))
    }

    /// The interned of `key`; `value` is asked once for each.
    pub fn keep<Q: Hash + Eq + ?Sized + ToOwned<Owned = K>>(&self, key: &Q, value: impl FnOnce() -> V) -> Interned<V>
    where
        K: Borrow<Q>,
    {
        if let Some(interned) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return *interned;
        }
        // Outside of the lock, because making a process runs its handler. Two threads may both make it; one is kept.
        let value = value();
        let mut shelf = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let number = u32::try_from(shelf.len()).unwrap_or(u32::MAX);
        *shelf.entry(key.to_owned()).or_insert_with(|| Interned(Box::leak(Box::new(Kept { number, value }))))
    }
}

static WORDS: Interner<String, String> = Interner::new();

/// A text, kept.
pub fn words(text: &str) -> Interned<String> {
    WORDS.keep(text, || text.to_owned())
}
