//! Keys: what an entry was made from, as a digest.

use std::fmt;

use blake3::Hasher;

use crate::trust::digest::{self, CACHE_KEY};

/// What code was made from: named parts, such as the source, the options of the compiler, and digests of what it includes. Two keys are
/// equal if and only if they have the same parts in the same order. What the engine says (target, flags, producer, version) need not be
/// in a key: entries are kept apart by it.
#[derive(Clone, Debug)]
pub struct Key(Hasher);

impl Key {
    /// Creates a key without parts.
    #[must_use]
    pub fn new() -> Key {
        Key(digest::hasher(&CACHE_KEY))
    }

    /// Adds a part. The lengths of name and data are hashed along with them, so that `"a"` and `"bc"` differ from `"ab"` and `"c"`.
    pub fn add(&mut self, name: &str, data: &[u8]) {
        for bytes in [name.as_bytes(), data] {
            self.0.update(&(bytes.len() as u64).to_le_bytes());
            self.0.update(bytes);
        }
    }

    /// Returns the digest of all parts so far.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

impl Default for Key {
    fn default() -> Self {
        Key::new()
    }
}

/// Bytes in hexadecimal, as names of entries have them.
pub(super) struct Hex<'b>(pub &'b [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(parts: &[(&str, &str)]) -> [u8; 32] {
        let mut key = Key::new();
        parts.iter().for_each(|(name, data)| key.add(name, data.as_bytes()));
        key.digest()
    }

    #[test]
    fn keys_differ_in_every_part() {
        let keys: &[&[(&str, &str)]] = &[
            &[],
            &[("", "")],
            &[("", ""), ("", "")],
            &[("a", "bc")],
            &[("ab", "c")],
            &[("abc", "")],
            &[("", "abc")],
            &[("a", "b"), ("", "c")],
            &[("a", "bc"), ("x", "y")],
            &[("x", "y"), ("a", "bc")],
        ];
        let digests: std::collections::HashSet<_> = keys.iter().map(|parts| digest(parts)).collect();
        assert_eq!(digests.len(), keys.len());
    }

    /// Digests name entries on disk: they stay the same from one version of the library to the next.
    #[test]
    fn known_answer() {
        let mut key = Key::new();
        key.add("source", b"int f(void) { return 1; }");
        key.add("options", b"-O2");
        assert_eq!(Hex(&key.digest()).to_string(), "e6778c48bdbaa0aef7bb1ec63ec75eff02fe1ccead0628145328bda227a7d542");
    }
}
