//! Modules of Wasmtime 0.33: relocatable in name, but laid out to be mapped as they are. One page-aligned `.text`, whose only
//! relocations are absolute 64-bit addresses of runtime helpers, and an `.eh_frame` at its place behind it.
//!
//! Such a module is an image whose addresses are its offsets.

use object::elf;

use super::image::{Segment, Tables, corrupt};
use crate::error::{Error, Result, Status, quote};
use crate::format::module::Module;
use crate::memory;

/// Checks where everything is in such a module.
///
/// # Errors
///
/// UNSUPPORTED if it is any other relocatable object, CORRUPT.
pub fn parse(bytes: &[u8], page: u64) -> Result<Tables> {
    let module = Module::parse(bytes)?;
    let text = module.section_named(b".text").map_err(|_| not_linked())?;
    text.check_inside(bytes)?;
    if text.size > 0 && text.offset % page != 0 {
        return Err(not_linked());
    }
    let segment = |offset: u64, len, executable| Segment {
        address: offset,
        offset,
        file_len: len,
        len,
        writable: false,
        executable,
    };
    let mut segments = memory::with_room(2, "segments")?;
    if text.size > 0 {
        segments.push(segment(text.offset, text.size, true));
    }
    let behind = (text.offset + text.size).next_multiple_of(page);
    let eh_frame = module.section_named(b".eh_frame").ok().filter(|section| section.size > 0);
    if let Some(section) = &eh_frame {
        section.check_inside(bytes)?;
        if section.offset < behind {
            return Err(corrupt(".eh_frame: expected it behind .text"));
        }
        segments.push(segment(behind, section.offset + section.size - behind, false));
    }
    let mut tables = Tables::new(segments, bytes.len() as u64, page)?;
    if let Some(section) = eh_frame {
        tables.set_eh_frame(section.offset, page)?;
    }
    let [symbols, strings] = [b".symtab", b".strtab"].map(|name| {
        let section = module.section_named(name)?;
        section.check_inside(bytes)?;
        Ok::<_, Error>(section.offset as usize..(section.offset + section.size) as usize)
    });
    tables.set_symbols(symbols?, strings?, text.offset);
    for index in 1..module.section_count() {
        let section = module.section(index)?;
        if section.kind == elf::SHT_REL.0 || section.kind == elf::SHT_RELA.0 {
            if section.name != b".rela.text" || section.size % 24 != 0 {
                return Err(not_linked().within(format!("section '{}'", quote(section.name))));
            }
            section.check_inside(bytes)?;
            tables.relocations[0] = section.offset as usize..(section.offset + section.size) as usize;
            tables.in_text = section.size > 0;
        }
    }
    Ok(tables)
}

#[cold]
fn not_linked() -> Error {
    let message = "expected a shared object or a module of Wasmtime, found a relocatable object: \
        link it when saving, with artifact_builder_add_objects()";
    Error::new(Status::Unsupported, message)
}
