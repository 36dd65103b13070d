//! Archives, as `ar` makes them: a checked view of their members. A thin archive has the names of files in place of bytes.
//!
//! The symbol index of an archive is not read: it may be missing, old or wrong, and the members say the same.

use crate::error::{Error, Result, Status, quote};
use crate::limits::{MAX_NAME, NameBudget};

const MAGIC: &[u8] = b"!<arch>\n";
const THIN: &[u8] = b"!<thin>\n";

/// The size of a member's header.
const HEADER: usize = 60;

/// A member of an archive.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its name; in a thin archive, the path of its file, relative to the archive's folder.
    pub name: &'a [u8],
    /// Its bytes; `None` in a thin archive.
    pub bytes: Option<&'a [u8]>,
    /// The size that its header states.
    pub size: u64,
}

/// Returns whether these are the bytes of an archive, thin or not.
#[must_use]
pub fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC) || is_thin(bytes)
}

/// Returns whether these are the bytes of a thin archive.
#[must_use]
pub fn is_thin(bytes: &[u8]) -> bool {
    bytes.starts_with(THIN)
}

/// The members of an archive in their order, without its tables of symbols and names. After an error there are none.
#[derive(Debug)]
pub struct Members<'a> {
    bytes: &'a [u8],
    at: usize,
    thin: bool,
    /// The table of long names.
    names: &'a [u8],
    /// Names may overlap in that table.
    budget: NameBudget,
}

impl<'a> Members<'a> {
    /// Returns the members of an archive; none for other bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Members<'a> {
        let at = if is_archive(bytes) { MAGIC.len() } else { bytes.len() };
        Members { bytes, at, thin: is_thin(bytes), names: &[], budget: NameBudget::for_file(bytes.len() as u64) }
    }

    fn read(&mut self) -> Result<Option<Member<'a>>> {
        loop {
            let start = self.at;
            let left = self.bytes.get(start..).unwrap_or_default();
            // `ar` pads with a line feed; some writers end with one.
            if left.is_empty() || left == b"\n" {
                return Ok(None);
            }
            let wrong = |status, what: &str| Err(Error::new(status, format!("archive: {what}")).at(start as u64));
            let Some((header, rest)) = left.split_at_checked(HEADER) else {
                return wrong(Status::Truncated, "expected a member's header of 60 bytes, found fewer");
            };
            let field = |from, to| header.get(from..to).unwrap_or_default().trim_ascii_end();
            let (name, size, end) = (field(0, 16), number(field(48, 58)), header.get(58..));
            let Some(size) = size.filter(|_| end == Some(b"`\n")) else {
                return wrong(Status::Corrupt, "expected a member's header with its size, found other bytes");
            };
            let table = [&b"/"[..], b"/SYM64/", b"//"].contains(&name);
            let stored = table || !self.thin;
            let mut bytes = None;
            self.at = start + HEADER;
            if stored {
                let len = usize::try_from(size).ok();
                bytes = len.and_then(|len| rest.get(..len));
                let Some(found) = bytes else {
                    return wrong(
                        Status::Truncated,
                        &format!("expected a member of {size} bytes, found {}", rest.len()),
                    );
                };
                self.at += found.len() + found.len() % 2;
            }
            if name == b"//" {
                self.names = bytes.unwrap_or_default();
            }
            if table {
                continue;
            }
            if name.starts_with(b"#1/") {
                return wrong(
                    Status::Unsupported,
                    "expected the format of GNU and System V, found that of BSD and macOS; `ar` makes the former on Linux",
                );
            }
            let name = match name.strip_prefix(b"/") {
                Some(offset) => self.long_name(offset),
                None => Some(name.strip_suffix(b"/").unwrap_or(name)),
            };
            let Some(name) = name.filter(|name| !name.is_empty()) else {
                return wrong(Status::Corrupt, "expected a member's name, or its offset in the table of names");
            };
            self.budget.take(name.len())?;
            return Ok(Some(Member { name, bytes, size }));
        }
    }

    fn long_name(&self, offset: &[u8]) -> Option<&'a [u8]> {
        let text = self.names.get(usize::try_from(number(offset)?).ok()?..)?;
        let line = text.iter().take(MAX_NAME).position(|byte| *byte == b'\n' || *byte == 0)?;
        let name = text.get(..line)?;
        Some(name.strip_suffix(b"/").unwrap_or(name))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.read().transpose();
        if !matches!(found, Some(Ok(_))) {
            self.at = self.bytes.len();
        }
        found
    }
}

/// Reads a decimal number.
fn number(digits: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let push = |value: u64, byte: &u8| value.checked_mul(10)?.checked_add(digit(byte)?);
    if digits.is_empty() { None } else { digits.iter().try_fold(0, push) }
}

/// Returns an archive with the members of a thin one. `read` returns the bytes of a member's file, given the name in the archive.
///
/// # Errors
///
/// TRUNCATED or CORRUPT if the archive is damaged, or if a file has not the size that the archive states; the errors of `read`.
pub fn fill_thin(thin: &[u8], mut read: impl FnMut(&[u8]) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    let mut names = Vec::new();
    let mut members = Vec::new();
    for member in Members::new(thin) {
        let Member { name, size, .. } = member?;
        let bytes = read(name)?;
        if bytes.len() as u64 != size {
            let (name, found) = (quote(name), bytes.len());
            let message = format!(
                "archive: member '{name}': expected a file of {size} bytes, found {found}; was it compiled again?"
            );
            return Err(Error::corrupt(message));
        }
        add(&mut members, &format!("/{}", names.len()), &bytes)?;
        extend(&mut names, &[name, b"/\n"])?;
    }
    let mut archive = Vec::new();
    extend(&mut archive, &[MAGIC])?;
    add(&mut archive, "//", &names)?;
    extend(&mut archive, &[&members])?;
    Ok(archive)
}

/// Appends a member to an archive.
fn add(archive: &mut Vec<u8>, name: &str, bytes: &[u8]) -> Result<()> {
    let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 644, bytes.len());
    extend(archive, &[header.as_bytes(), bytes, &b"\n"[..bytes.len() % 2]])
}

fn extend(bytes: &mut Vec<u8>, parts: &[&[u8]]) -> Result<()> {
    parts.iter().try_for_each(|part| crate::alloc::extend(bytes, part, "an archive"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(archive: &[u8]) -> Result<Vec<(String, usize)>> {
        let of = |member: Member<'_>| (quote(member.name).to_string(), member.bytes.map_or(0, <[u8]>::len));
        Members::new(archive).map(|member| member.map(of)).collect()
    }

    fn archive(magic: &[u8], members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = magic.to_vec();
        members.iter().for_each(|(name, data)| add(&mut bytes, name, data).unwrap());
        bytes
    }

    #[test]
    fn members_have_short_and_long_names() {
        let long = b"a_name_of_more_than_fifteen_bytes.o/\nb/c.o/\n";
        let bytes = archive(
            MAGIC,
            &[("/", b"index"), ("//", long), ("a.o/", b"odd"), ("/0", b"even"), ("/37", b""), ("plain", b"x")],
        );
        let expected = [("a.o", 3), ("a_name_of_more_than_fifteen_bytes.o", 4), ("b/c.o", 0), ("plain", 1)];
        assert_eq!(names(&bytes).unwrap(), expected.map(|(name, len)| (name.to_owned(), len)));
        for len in 0..bytes.len() {
            // Every prefix has fewer members, or is an error.
            assert!(names(&bytes[..len]).map_or(true, |names| names.len() < 4 || len + 1 == bytes.len()));
        }
    }

    #[test]
    fn damage_is_an_error() {
        for (name, status) in [
            ("/99", Status::Corrupt),
            ("/x", Status::Corrupt),
            ("/7:60", Status::Corrupt),
            ("", Status::Corrupt),
            ("#1/20", Status::Unsupported),
        ] {
            let error = names(&archive(MAGIC, &[("//", b"name without end"), (name, b"")])).unwrap_err();
            assert_eq!((error.status(), error.offset()), (status, Some(8 + 60 + 16)), "{name}: {error}");
        }
        let good = archive(MAGIC, &[("a.o/", b"1234")]);
        for (at, byte) in [(8 + 48, b'x'), (8 + 57, b'9'), (8 + 58, b'!')] {
            let mut bad = good.clone();
            bad[at] = byte;
            names(&bad).unwrap_err();
        }
        assert_eq!(names(b"no archive").unwrap(), []);
    }

    #[test]
    fn names_that_overlap_are_limited() {
        let mut table = vec![b'n'; 60_000];
        table.extend(b"/\n");
        let mut bytes = archive(MAGIC, &[("//", &table)]);
        (0..100).for_each(|_| add(&mut bytes, "/0", b"").unwrap());
        assert_eq!(names(&bytes).unwrap_err().status(), Status::Limit);
    }

    #[test]
    fn thin_archives_are_filled() {
        let header = |name: &str, size: usize| format!("{name:<48}{size:<10}`\n").into_bytes();
        let thin = [&archive(THIN, &[("//", b"dir/a.o/\nb.o/\n")])[..], &header("/0", 3), &header("/9", 4)].concat();
        assert_eq!(names(&thin).unwrap(), [("dir/a.o".to_owned(), 0), ("b.o".to_owned(), 0)]);
        let file = |name: &[u8]| Ok(if name == b"dir/a.o" { b"one".to_vec() } else { b"four".to_vec() });
        let filled = fill_thin(&thin, file).unwrap();
        assert_eq!(names(&filled).unwrap(), [("dir/a.o".to_owned(), 3), ("b.o".to_owned(), 4)]);
        let error = fill_thin(&thin, |_| Ok(b"three".to_vec())).unwrap_err();
        assert!(error.message().contains("'dir/a.o': expected a file of 3 bytes, found 5"), "{error}");
    }
}
