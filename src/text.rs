//! Text for C: NUL-terminated UTF-8 that is created on first use, and lives as long as the handle that returned it.

use std::collections::HashSet;
use std::ffi::{CString, c_char};
use std::sync::Mutex;

use artifact::alloc;
use artifact::error::{Error, Result, Status};

/// The texts that a handle has returned to C.
#[derive(Debug, Default)]
pub(super) struct Texts(Mutex<HashSet<CString>>);

impl Texts {
    /// Returns a text for C. Bytes that aren't UTF-8, and NULs, which only damaged and hostile files have, become U+FFFD.
    pub fn get(&self, text: &[u8]) -> Result<*const c_char> {
        let text = c_string(text)?;
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(found) = known.get(&text) {
            return Ok(found.as_ptr());
        }
        // The bytes are on the heap: moving the CString into the set doesn't move them.
        let pointer = text.as_ptr();
        known.try_reserve(1).map_err(|_| Error::no_memory("a text"))?;
        known.insert(text);
        Ok(pointer)
    }
}

/// Copies a text, as [`Texts::get`] describes, and appends a NUL.
pub fn c_string(text: &[u8]) -> Result<CString> {
    const REPLACEMENT: &str = "\u{fffd}";
    // U+FFFD takes three bytes, and replaces at least one.
    let bad = |text: &[u8]| text.utf8_chunks().map(|chunk| chunk.invalid().len()).sum::<usize>();
    let room = text.len() + 2 * (bad(text) + text.iter().filter(|byte| **byte == 0).count()) + 1;
    let mut bytes = alloc::with_capacity(room, "a text")?;
    for chunk in text.utf8_chunks() {
        for (at, part) in chunk.valid().split('\0').enumerate() {
            if at > 0 {
                bytes.extend_from_slice(REPLACEMENT.as_bytes());
            }
            bytes.extend_from_slice(part.as_bytes());
        }
        if !chunk.invalid().is_empty() {
            bytes.extend_from_slice(REPLACEMENT.as_bytes());
        }
    }
    CString::new(bytes).map_err(|_| Error::new(Status::Internal, "text: expected no NUL, found one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_one_pointer() {
        let texts = Texts::default();
        let first = texts.get(b"avx2").unwrap();
        for number in 0..1000 {
            texts.get(format!("{number}").as_bytes()).unwrap();
        }
        assert_eq!(first, texts.get(b"avx2").unwrap());
        assert_eq!(c_string(b"a\0b\xff").unwrap().to_str().unwrap(), "a\u{fffd}b\u{fffd}");
    }
}
