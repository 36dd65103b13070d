//! Text for C: NUL-terminated UTF-8 that is created on first use, and lives as long as the handle that returned it.

use std::collections::HashSet;
use std::ffi::{CString, c_char};
use std::sync::Mutex;

use artifact::alloc;
use artifact::error::{Error, Result, Status};
use artifact::fork;
use artifact::limits::NameBudget;

/// The texts that a handle has returned to C. Those of a file have a budget, since names in a file may overlap.
#[derive(Debug)]
pub(super) struct Texts(Mutex<Known>);

#[derive(Debug)]
struct Known {
    texts: HashSet<CString>,
    budget: NameBudget,
}

impl Default for Texts {
    /// For texts whose total length is limited elsewhere: those of an engine, which its user has set, and of a report.
    fn default() -> Texts {
        Texts::new(NameBudget::unlimited())
    }
}

impl Texts {
    /// For texts from a file of `len` bytes.
    pub fn for_file(len: u64) -> Texts {
        Texts::new(NameBudget::for_file(len))
    }

    fn new(budget: NameBudget) -> Texts {
        Texts(Mutex::new(Known { texts: HashSet::new(), budget }))
    }

    /// Returns a text for C. Bytes that aren't UTF-8, and NULs, which only damaged and hostile files have, become U+FFFD.
    ///
    /// # Errors
    ///
    /// NO_MEMORY; LIMIT if a file's texts exceed their budget.
    pub fn get(&self, text: &[u8]) -> Result<*const c_char> {
        let text = c_string(text)?;
        let mut known = fork::lock(&self.0);
        if let Some(found) = known.texts.get(&text) {
            return Ok(found.as_ptr());
        }
        known.texts.try_reserve(1).map_err(|_| Error::no_memory("a text"))?;
        known.budget.take(text.as_bytes().len())?;
        // The bytes are on the heap: moving the CString into the set doesn't move them.
        let pointer = text.as_ptr();
        known.texts.insert(text);
        Ok(pointer)
    }
}

/// Copies as much of a text as fits, and a NUL, into a buffer.
pub fn copy_cut_off(text: &[u8], buffer: &mut [u8]) {
    let len = text.len().min(buffer.len().saturating_sub(1));
    if let Some((copied, Some(end))) = buffer.split_at_mut_checked(len).map(|(copied, rest)| (copied, rest.first_mut()))
    {
        copied.copy_from_slice(text.get(..len).unwrap_or_default());
        *end = 0;
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

    #[test]
    fn texts_of_a_file_have_a_budget() {
        let texts = Texts::for_file(1 << 20);
        let name = vec![b'a'; 1 << 16];
        let of_len = |len: usize| texts.get(name.get(..len).unwrap());
        let taken = (0..).map(|at| (1 << 16) - at).take_while(|len| of_len(*len).is_ok()).count();
        assert!((120..=130).contains(&taken), "{taken} names of 64 KiB");
        let first = of_len(1 << 16).unwrap();
        assert_eq!(first, of_len(1 << 16).unwrap(), "a text that was returned before takes nothing");
        assert_eq!(of_len(1 << 15).unwrap_err().status(), Status::Limit);
    }
}
