//! Unwind tables: the records of `.eh_frame` (LSB Core, Exception Frames; DWARF, Call Frame Information). Unwinders trust every length
//! and abort on encodings that they don't know, so both are checked first. The call frame instructions in a record aren't checked,
//! just as code isn't.

use std::ops::Range;

use crate::alloc;
use crate::error::{Error, Result};

/// The size of a record's first two fields, its length and its identity: 0 for a CIE, the distance to its CIE for an FDE.
const HEAD: usize = 8;

/// A table that has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its length in bytes, without the terminator.
    pub len: usize,
    /// Whether it ends with a terminator, a zero word, at which unwinders stop.
    pub terminated: bool,
    /// The number of its FDEs, one for each function.
    pub functions: usize,
}

/// A CIE: how its FDEs are encoded.
#[derive(Clone, Copy)]
struct Cie {
    /// Its offset in the table.
    at: usize,
    /// The size of a function's address, and of its length, in bytes.
    pointer: usize,
    /// The size of the address of language-specific data in bytes, if FDEs have one.
    data: Option<usize>,
    /// FDEs have augmentation data, after its length.
    augmented: bool,
}

/// Checks the table at the start of `bytes`, up to its terminator or the end of `bytes`. `address` is the table's address, and all
/// its functions must lie in `code`. Calls `pointer` with the offset and the size of each pointer that is relative to its own address.
///
/// # Errors
///
/// CORRUPT, NO_MEMORY. Offsets count from the table's start.
pub fn check(bytes: &[u8], address: u64, code: &Range<u64>, mut pointer: impl FnMut(usize, usize)) -> Result<Checked> {
    let mut cies: Vec<Cie> = Vec::new();
    let (mut at, mut functions) = (0, 0);
    loop {
        let wrong = |what: &str| Error::corrupt(format!(".eh_frame: {what}")).at(at as u64);
        let len = match word(bytes, at) {
            Some(0) => return Ok(Checked { len: at, terminated: true, functions }),
            Some(len) => len as usize,
            None if bytes.len() == at => return Ok(Checked { len: at, terminated: false, functions }),
            None => return Err(wrong("expected a record, found the end")),
        };
        let record = at.checked_add(4 + len).and_then(|end| bytes.get(at..end));
        let record = record.and_then(|record| Some((record, word(record, 4)? as usize)));
        let (record, identity) = record
            .ok_or_else(|| wrong("expected a record of at least 8 bytes within the section, found another length"))?;
        let cie = if identity == 0 {
            let cie = cie(record, at, &mut pointer)
                .ok_or_else(|| wrong("expected a CIE in an encoding that unwinders know"))?;
            alloc::push(&mut cies, cie, "unwind tables")?;
            cie
        } else {
            let offset = (at + 4).wrapping_sub(identity);
            let cie = cies.binary_search_by_key(&offset, |cie| cie.at).ok().and_then(|index| cies.get(index)).copied();
            let cie = cie.ok_or_else(|| wrong("expected an FDE with a CIE before it"))?;
            let found = fde(record, at, &cie, &mut pointer).ok_or_else(|| wrong("expected a whole FDE"))?;
            let begin = address.wrapping_add((at + HEAD) as u64).wrapping_add(found.0);
            if begin < code.start || begin > code.end || found.1 > code.end - begin {
                return Err(wrong("expected a function of this module, found one outside"));
            }
            functions += 1;
            cie
        };
        at += record.len();
        if cie.pointer == 4 && cie.data.is_none() {
            // Most FDEs are checked here, and all others above.
            let (end, count) = short_fdes(bytes, at, &cie, address, code, &mut pointer);
            (at, functions) = (end, functions + count);
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The number of 4 or 8 bytes at an offset, sign-extended.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let rest = bytes.get(at..)?;
    if size == 4 {
        return Some(i64::from(i32::from_le_bytes(*rest.first_chunk()?)) as u64);
    }
    Some(u64::from_le_bytes(*rest.first_chunk()?))
}

/// The size of a pointer with this encoding. Only pointers that are relative to their own address are known, since all others would
/// need relocation. The highest bit of the encoding marks an indirect pointer.
fn pointer_size(encoding: u8) -> Option<usize> {
    match encoding & 0x7f {
        0x1b => Some(4),               // sdata4
        0x10 | 0x14 | 0x1c => Some(8), // absptr, udata8, sdata8
        _ => None,
    }
}

/// Skips a LEB128 number and returns its value, which is right for small unsigned numbers.
fn leb(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0usize;
    for shift in (0..).step_by(7).take(10) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= usize::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn cie(record: &[u8], place: usize, pointer: &mut impl FnMut(usize, usize)) -> Option<Cie> {
    const OMIT: u8 = 0xff;
    let version = *record.get(HEAD)?;
    let text = record.get(HEAD + 1..)?;
    let text = text.get(..text.iter().take(16).position(|byte| *byte == 0)?)?;
    let mut at = HEAD + 1 + text.len() + 1;
    for _ in 0..2 {
        leb(record, &mut at)?; // code and data alignment
    }
    match version {
        1 => at += 1,
        3 => drop(leb(record, &mut at)?),
        _ => return None,
    }
    // Without an augmentation, addresses are absolute.
    let (b'z', letters) = text.split_first()? else { return None };
    let len = leb(record, &mut at)?;
    let end = at.checked_add(len).filter(|end| *end <= record.len())?;
    let mut found = Cie { at: place, pointer: 0, data: None, augmented: true };
    for letter in letters {
        match letter {
            b'R' => found.pointer = pointer_size(*record.get(at)?).filter(|_| record.get(at) < Some(&0x80))?,
            b'L' if record.get(at) == Some(&OMIT) => {}
            b'L' => found.data = Some(pointer_size(*record.get(at)?)?),
            b'P' => {
                let encoding = *record.get(at)?;
                if encoding != OMIT {
                    let size = pointer_size(encoding)?;
                    pointer(place + at + 1, size);
                    at += size;
                }
            }
            b'S' | b'B' | b'G' => continue,
            _ => return None,
        }
        at += 1;
    }
    (at <= end && found.pointer != 0).then_some(found)
}

/// Checks FDEs from an offset on, as long as they are sound and like most that compilers write. Returns the offset where they end, and
/// their number. A function of its own, so that the loop has all registers.
#[inline(never)]
fn short_fdes(
    bytes: &[u8],
    mut at: usize,
    cie: &Cie,
    address: u64,
    code: &Range<u64>,
    pointer: &mut impl FnMut(usize, usize),
) -> (usize, usize) {
    let mut count = 0;
    while let Some(len) = bytes.get(at..).and_then(|rest| short_fde(rest, at, cie, address, code)) {
        pointer(at + HEAD, 4);
        count += 1;
        at += len;
    }
    (at, count)
}

/// Returns the length of an FDE like most that compilers write, if it is sound: it belongs to the last CIE, has two words, and one
/// byte for the length of its augmentation data. Each function has one, so this is where checking a table spends its time.
#[inline(always)]
fn short_fde(rest: &[u8], at: usize, cie: &Cie, address: u64, code: &Range<u64>) -> Option<usize> {
    let head: &[u8; 17] = rest.first_chunk()?;
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, data] = *head;
    let len = 4 + u32::from_le_bytes([a, b, c, d]) as usize;
    let identity = u32::from_le_bytes([e, f, g, h]) as usize;
    let begin = i64::from(i32::from_le_bytes([i, j, k, l])) as u64;
    let size = i64::from(i32::from_le_bytes([m, n, o, p])) as u64;
    let skip = address.wrapping_add((at + HEAD) as u64).wrapping_add(begin).wrapping_sub(code.start);
    let room = code.end.wrapping_sub(code.start);
    let sound = identity == (at + 4).wrapping_sub(cie.at)
        && data < 0x80
        && 17 + usize::from(data) <= len
        && len <= rest.len()
        && skip <= room
        && size <= room - skip;
    sound.then_some(len)
}

/// Returns a function's address, relative to its own field in the record, and its size.
fn fde(record: &[u8], place: usize, cie: &Cie, pointer: &mut impl FnMut(usize, usize)) -> Option<(u64, u64)> {
    let found = (number(record, HEAD, cie.pointer)?, number(record, HEAD + cie.pointer, cie.pointer)?);
    pointer(place + HEAD, cie.pointer);
    if cie.augmented {
        let mut at = HEAD + 2 * cie.pointer;
        let len = leb(record, &mut at)?;
        at.checked_add(len).filter(|end| *end <= record.len())?;
        if let Some(size) = cie.data.filter(|_| len > 0) {
            if len < size {
                return None;
            }
            if number(record, at, size)? != 0 {
                pointer(place + at, size);
            }
        }
    }
    Some(found)
}

/// Relocates a copy of a checked table that is `moved` bytes further away from what it points at than the table at `address` was.
///
/// # Errors
///
/// CORRUPT if a pointer doesn't reach that far, which sound ones do: an artifact's range is small enough. Else as [`check`].
pub fn move_by(copy: &mut [u8], address: u64, code: &Range<u64>, moved: u64) -> Result<()> {
    let mut pointers = Vec::new();
    let mut full = Ok(());
    check(copy, address, code, |at, size| {
        if full.is_ok() {
            full = alloc::push(&mut pointers, (at, size), "unwind tables");
        }
    })?;
    full?;
    for (at, size) in pointers {
        let too_far = || Error::corrupt(".eh_frame: expected a pointer within 2 GiB, found one beyond").at(at as u64);
        let value = number(copy, at, size).ok_or_else(too_far)?.wrapping_sub(moved);
        let place = copy.get_mut(at..at + size).ok_or_else(too_far)?;
        let short = i32::try_from(value as i64).map(i32::to_le_bytes);
        match size {
            4 => place.copy_from_slice(&short.map_err(|_| too_far())?),
            _ => place.copy_from_slice(&value.to_le_bytes()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table at address 0x1000: a CIE "zR" and an FDE for 16 bytes of code, 64 bytes before the table.
    fn table() -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(16u32.to_le_bytes());
        bytes.extend([0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b, 0, 0, 0]);
        let fde = bytes.len() as u32;
        bytes.extend(16u32.to_le_bytes());
        bytes.extend((fde + 4).to_le_bytes());
        bytes.extend((0xfc0 - 0x1000 - fde as i32 - 8).to_le_bytes());
        bytes.extend(16u32.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend([0; 4]);
        bytes
    }

    const CODE: Range<u64> = 0xfc0..0xfd0;

    fn run(bytes: &[u8]) -> Result<Checked> {
        check(bytes, 0x1000, &CODE, |_, _| ())
    }

    #[test]
    fn a_table_ends_at_its_terminator_or_where_the_bytes_do() {
        let bytes = table();
        assert_eq!(run(&bytes).unwrap(), Checked { len: 40, terminated: true, functions: 1 });
        assert_eq!(run(&bytes[..40]).unwrap(), Checked { len: 40, terminated: false, functions: 1 });
        assert_eq!(run(&[]).unwrap(), Checked { len: 0, terminated: false, functions: 0 });
        for cut in 1..40 {
            assert!(cut == 20 || run(&bytes[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn functions_lie_in_their_module() {
        let bytes = table();
        for code in [0xfc1..0xfd0, 0xfc0..0xfcf, 0..0xfc0, 0x1000..0x2000] {
            assert!(check(&bytes, 0x1000, &code, |_, _| ()).is_err(), "{code:?}");
        }
    }

    #[test]
    fn every_changed_byte_is_refused_or_harmless() {
        let bytes = table();
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let _ = run(&changed);
            }
        }
        for (at, value) in [(8, 2), (9, b'e'), (10, b'?'), (16, 0x00), (16, 0x9b), (24, 0x10), (36, 9)] {
            let mut changed = bytes.clone();
            changed[at] = value;
            assert!(run(&changed).is_err(), "{at}");
        }
    }

    #[test]
    fn a_moved_table_points_at_the_same_code() {
        let mut bytes = table();
        move_by(&mut bytes, 0x1000, &CODE, 0x7000).unwrap();
        assert!(check(&bytes, 0x8000, &CODE, |_, _| ()).is_ok());
        assert!(run(&bytes).is_err());
        assert!(move_by(&mut bytes, 0x8000, &CODE, 1 << 40).is_err());
    }
}
