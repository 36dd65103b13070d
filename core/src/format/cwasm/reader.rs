//! bincode and postcard as far as Wasmtime's engines need them. Both store a switch, an option's tag and a byte in one byte, and text
//! and lists with their number of items before. Only integers differ: fixed and little-endian in bincode, LEB128 in postcard.

use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::format::Map;
use crate::format::flags::Flag;

/// Flags in the order of the file, duplicates included.
pub type Flags = Map<String, Flag<String>>;

/// Reads values one after another. Offsets in errors count from the start of the bytes.
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    /// Whether integers have a fixed width.
    pub fixed: bool,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, position: 0, fixed: false }
    }

    /// Creates an error at the current position.
    pub fn error(&self, status: Status, message: impl Into<String>) -> Error {
        Error::new(status, message).at(self.position as u64)
    }

    /// Returns the bytes that have not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or(&[])
    }

    pub fn take(&mut self, len: u64) -> Result<&'a [u8]> {
        let rest = self.rest();
        let found = usize::try_from(len)
            .ok()
            .and_then(|len| rest.get(..len))
            .ok_or_else(|| self.error(Status::Truncated, format!("expected {len} more bytes, found {}", rest.len())))?;
        self.position += found.len();
        Ok(found)
    }

    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    /// Reads an integer of at most `bits` bits, a multiple of 8.
    pub fn number(&mut self, bits: u8) -> Result<u64> {
        if self.fixed {
            let bytes = self.take(u64::from(bits / 8))?;
            return Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)));
        }
        let (mut number, mut shift) = (0u64, 0u8);
        loop {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift >= bits || part.checked_shr(u32::from(bits - shift)).is_some_and(|above| above != 0) {
                return Err(self.error(Status::Corrupt, format!("expected a number of {bits} bits, found more")));
            }
            number |= part << shift;
            if byte < 0x80 {
                return Ok(number);
            }
            shift += 7;
        }
    }

    pub fn switch(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(self.error(Status::Corrupt, format!("expected 0 or 1, found {found}"))),
        }
    }

    /// Reads the index of one of `count` alternatives.
    pub fn choice(&mut self, count: u8) -> Result<u64> {
        let found = self.number(32)?;
        if found < u64::from(count) {
            return Ok(found);
        }
        Err(self.error(Status::Corrupt, format!("expected an index below {count}, found {found}")))
    }

    pub fn text_of(&mut self, len: u64) -> Result<String> {
        let bytes = alloc::copy(self.take(len)?, "a text")?;
        String::from_utf8(bytes).map_err(|_| self.error(Status::Corrupt, "expected UTF-8 text"))
    }

    pub fn text(&mut self) -> Result<String> {
        let len = self.number(64)?;
        self.text_of(len)
    }

    pub fn flags(&mut self) -> Result<Flags> {
        let mut flags = Vec::new();
        for _ in 0..self.number(64)? {
            let name = self.text()?;
            let value = match self.choice(3)? {
                0 => Flag::Enum(self.text()?),
                1 => Flag::Num(self.byte()?),
                _ => Flag::Bool(self.switch()?),
            };
            alloc::push(&mut flags, (name, value), "flags")?;
        }
        Ok(Map(flags))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(bytes: &[u8], bits: u8) -> Result<u64> {
        Reader::new(bytes).number(bits)
    }

    #[test]
    fn integers_of_both_encodings() {
        let fixed = |bytes, bits| Reader { fixed: true, ..Reader::new(bytes) }.number(bits);
        assert_eq!(fixed(&[1, 2, 0, 0], 32).unwrap(), 0x201);
        assert_eq!(fixed(&[0xff; 8], 64).unwrap(), u64::MAX);
        assert_eq!(fixed(&[1, 2, 0], 32).unwrap_err().status(), Status::Truncated);
        assert_eq!(varint(&[0x80, 0x80, 0x80, 0x80, 0x10], 64).unwrap(), 1 << 32);
        assert_eq!(varint(&[0xd0, 0x0f, 7], 32).unwrap(), 2000);
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(varint(&max, 64).unwrap(), u64::MAX);
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0x0f], 32).unwrap(), u64::from(u32::MAX));
        assert_eq!(varint(&[0x80], 64).unwrap_err().status(), Status::Truncated);
        for (bytes, bits) in [(&[0xff, 0xff, 0xff, 0xff, 0x1f][..], 32), (&[0x80; 11], 64), (&[0xff; 10], 64)] {
            assert_eq!(varint(bytes, bits).unwrap_err().status(), Status::Corrupt, "{bytes:?}");
        }
    }

    #[test]
    fn a_count_that_nothing_backs_takes_no_memory() {
        let bytes = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(Reader::new(&bytes).flags().unwrap_err().status(), Status::Truncated);
        assert_eq!(Reader::new(&bytes).text().unwrap_err().status(), Status::Truncated);
    }
}
