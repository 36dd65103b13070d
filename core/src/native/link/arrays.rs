//! `.ctors` and `.dtors`, the obsolete forms of `.init_array` and `.fini_array`: they are run from the last entry to the first, and a
//! higher number at the end of the name comes later. Linkers turn them round and make them part of the arrays.

use object::endian::U64;

use super::input::{Input, ORDER, Rela, Section, failure};
use super::select::{Disposition, Dispositions};
use crate::alloc;
use crate::error::{Result, Status, quote};

const WORD: u64 = 8;
/// The number in names is below this: `.ctors.65435` is `.init_array.100`.
const PRIORITIES: u32 = 65535;

/// The obsolete names, and what they become.
const OBSOLETE: [(&[u8], &[u8]); 2] = [(b".ctors", b".init_array"), (b".dtors", b".fini_array")];

/// Returns the array that a section of an obsolete form belongs to; `None` for all other sections.
pub(super) fn array_of(name: &[u8]) -> Option<&'static [u8]> {
    let is = |old: &[u8]| name.strip_prefix(old).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."));
    OBSOLETE.iter().find(|(old, _)| is(old)).map(|(_, array)| *array)
}

/// Returns the order of a section in its array, by the number at the end of its name: `.init_array.00100` comes before `.init_array`.
pub(super) fn priority(name: &[u8]) -> u32 {
    let number = name.rsplit(|byte| *byte == b'.').next().and_then(|number| std::str::from_utf8(number).ok());
    let number = number.and_then(|number| number.parse::<u32>().ok());
    match array_of(name) {
        Some(_) => number.map_or(u32::MAX, |number| PRIORITIES.saturating_sub(number)),
        None => number.unwrap_or(u32::MAX),
    }
}

/// Turns round the sections of obsolete forms that are linked.
///
/// # Errors
///
/// CORRUPT for a section that is not a list of words.
pub(super) fn turn(inputs: &mut [Input<'_>], dispositions: &Dispositions) -> Result<()> {
    for (input, of) in inputs.iter_mut().zip(dispositions) {
        let name = input.name;
        let sections = input.sections.iter_mut().zip(of).filter(|(_, of)| **of == Disposition::Loaded);
        for (section, _) in sections.filter(|(section, _)| array_of(section.name).is_some()) {
            let (words, rest) = section.data.as_chunks::<{ WORD as usize }>();
            let mut data = alloc::with_capacity(section.data.len(), "arrays of functions")?;
            words.iter().rev().for_each(|word| data.extend_from_slice(word));
            let mirrored = section.relocations.iter().map(|rela| mirror(rela, section));
            let relocations = alloc::collect(mirrored.flatten(), "arrays of functions")?;
            if !rest.is_empty() || relocations.len() != section.relocations.len() {
                let what = format!("section '{}': expected words of 8 bytes, found others", quote(section.name));
                return Err(failure(Status::Corrupt, name, what));
            }
            (section.data, section.relocations) = (data.into(), relocations.into());
        }
    }
    Ok(())
}

/// Returns the relocation of the word at the same distance from the other end; `None` if it is for no word.
fn mirror(rela: &Rela, section: &Section<'_>) -> Option<Rela> {
    let offset = rela.r_offset.get(ORDER);
    let last = (section.data.len() as u64).checked_sub(WORD)?;
    let turned = last.checked_sub(offset).filter(|_| offset.is_multiple_of(WORD))?;
    Some(Rela { r_offset: U64::new(ORDER, turned), ..*rela })
}
