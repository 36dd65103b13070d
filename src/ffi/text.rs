//! Text for C: NUL-terminated UTF-8 that lives as long as the handle that it was asked of, made on first use.

use std::collections::HashSet;
use std::ffi::{CString, c_char};
use std::sync::Mutex;

/// The texts that a handle has given out.
#[derive(Debug, Default)]
pub(super) struct Texts(Mutex<HashSet<CString>>);

impl Texts {
    /// The text as C sees it. A NUL inside, which only a damaged or hostile file has, and what isn't UTF-8 become U+FFFD.
    pub fn get(&self, text: &[u8]) -> *const c_char {
        let text = c_string(text);
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(found) = known.get(&text) {
            return found.as_ptr();
        }
        // The bytes lie on the heap: moving the CString into the set doesn't move them.
        let pointer = text.as_ptr();
        known.insert(text);
        pointer
    }
}

/// The text with a NUL at its end.
pub fn c_string(text: &[u8]) -> CString {
    let lossy = String::from_utf8_lossy(text);
    CString::new(lossy.as_ref()).or_else(|_| CString::new(lossy.replace('\0', "\u{fffd}"))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_given_out_once() {
        let texts = Texts::default();
        let first = texts.get(b"avx2");
        for number in 0..1000 {
            texts.get(format!("{number}").as_bytes());
        }
        assert_eq!(first, texts.get(b"avx2"));
        assert_eq!(c_string(b"a\0b\xff").to_str().unwrap(), "a\u{fffd}b\u{fffd}");
    }
}
