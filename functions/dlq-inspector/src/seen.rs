//! Which messages a walk has read: what an answer gives its caller to bring back, so that the next invocation goes on.

use base64_simd::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::collections::BTreeSet;

/// Most messages of a walk.
pub const READ_MAX: usize = 100_000;

/// A set of ids, as hashes. In JSON one string, eight bytes an id in base64.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen(BTreeSet<u64>);

impl Seen {
    /// Adds an id; whether it is new.
    pub fn insert(&mut self, id: &str) -> bool {
        self.0.insert(hash(id))
    }
    /// Whether it has an id.
    pub fn contains(&self, id: &str) -> bool {
        self.0.contains(&hash(id))
    }
    /// Takes an id out.
    pub fn remove(&mut self, id: &str) {
        self.0.remove(&hash(id));
    }
    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// FNV-1a: the same in every build, and two of a hundred thousand ids agree once in three billion walks.
pub fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Serialize for Seen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|id| id.to_le_bytes()).collect();
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode_to_string(bytes))
    }
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode_to_vec(text).map_err(|_| D::Error::custom("the cursor is none of the inspector's"))?;
        let (ids, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() || ids.len() > READ_MAX {
            return Err(D::Error::custom("the cursor is none of the inspector's"));
        }
        Ok(Self(ids.iter().map(|id| u64::from_le_bytes(*id)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_survives_the_way_through_the_caller() {
        let mut seen = Seen::default();
        assert!((0..100).all(|n| seen.insert(&n.to_string())) && !seen.insert("7"));
        let json = serde_json::to_string(&seen).unwrap();
        assert!(json.len() < 100 * 11 + 10, "{}", json.len());
        assert_eq!(serde_json::from_str::<Seen>(&json).unwrap(), seen);
        for bad in ["\"!\"", "\"AAAA\"", "7"] {
            assert!(serde_json::from_str::<Seen>(bad).is_err(), "{bad}");
        }
    }
}
