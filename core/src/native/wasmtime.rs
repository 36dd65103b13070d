//! Modules of Wasmtime 0.33. Their type is ET_REL, but they are laid out to be mapped as they are: a page-aligned `.text`, whose only
//! relocations are absolute 64-bit addresses of runtime helpers, and an `.eh_frame` after it, at the right distance.
//!
//! Such a module is an image whose addresses are its offsets.

use std::ops::Range;

use object::elf;

use super::image::{Segment, Tables};
use crate::alloc;
use crate::error::{Error, Result, Status, quote};
use crate::format::cwasm;
use crate::format::module::{Module, Section};

/// Finds and checks the tables of such a module.
///
/// # Errors
///
/// UNSUPPORTED if it is any other relocatable object, CORRUPT.
pub fn parse(bytes: &[u8], machine: u16, page: u64) -> Result<Tables> {
    if bytes.first_chunk().and_then(cwasm::kind).is_some() {
        let message = "expected a shared object or a module of Wasmtime 0.33, found a file of Wasmtime 3 or newer: memories, traps and \
            imports need the runtime of the version that compiled it";
        return Err(Error::new(Status::Unsupported, message));
    }
    let module = Module::parse(bytes)?;
    let text = module.section_named(b".text").map_err(|_| not_linked())?;
    let text = place(&text, bytes)?;
    if !text.is_empty() && text.start % page != 0 {
        return Err(not_linked());
    }
    let segment = |Range { start, end }: Range<u64>, executable| {
        let len = end - start;
        Segment { address: start, offset: start, file_len: len, len, writable: false, executable }
    };
    let mut segments = alloc::with_capacity(2, "segments")?;
    if !text.is_empty() {
        segments.push(segment(text.clone(), true));
    }
    let text_end = text.end.next_multiple_of(page);
    let eh_frame = module.section_named(b".eh_frame").ok().filter(|section| section.size > 0);
    let eh_frame = eh_frame.map(|section| place(&section, bytes)).transpose()?;
    if let Some(eh_frame) = &eh_frame {
        if eh_frame.start < text_end {
            return Err(Error::corrupt(".eh_frame: expected it after .text"));
        }
        segments.push(segment(text_end..eh_frame.end, false));
    }
    let mut tables = Tables::new(segments, bytes.len() as u64, machine, page)?;
    if let Some(eh_frame) = eh_frame {
        tables.set_eh_frame(eh_frame.start, Some((eh_frame.end - eh_frame.start) as usize), page)?;
    }
    let within = |place: Range<u64>| place.start as usize..place.end as usize;
    let [symbols, strings] =
        [b".symtab", b".strtab"].map(|name| place(&module.section_named(name)?, bytes).map(within));
    tables.set_symbols(symbols?, strings?, text.start);
    for index in 1..module.section_count() {
        let section = module.section(index)?;
        if section.kind == elf::SHT_REL.0 || section.kind == elf::SHT_RELA.0 {
            if section.name != b".rela.text" || section.size % 24 != 0 {
                return Err(not_linked().within(format!("section '{}'", quote(section.name))));
            }
            if tables.in_text {
                return Err(Error::corrupt("section '.rela.text': expected one, found a second"));
            }
            tables.relocations[0] = within(place(&section, bytes)?);
            tables.in_text = section.size > 0;
        }
    }
    Ok(tables)
}

/// The offsets of a section's bytes in the image.
fn place(section: &Section<'_>, bytes: &[u8]) -> Result<Range<u64>> {
    section.check_inside(bytes)?;
    if !section.has_bytes() {
        return Err(Error::corrupt(format!(
            "section '{}': expected bytes in the image, found none",
            quote(section.name)
        )));
    }
    Ok(section.offset..section.offset + section.size)
}

#[cold]
fn not_linked() -> Error {
    let message = "expected a shared object or a module of Wasmtime, found a relocatable object: \
        link it when saving, with artifact_builder_add_objects()";
    Error::new(Status::Unsupported, message)
}
