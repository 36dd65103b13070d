//! Section selection: which sections of the objects are linked.

use std::collections::HashMap;

use object::elf;

use super::input::{Input, Section, failure};
use super::{Options, item, item_mut};
use crate::alloc;
use crate::error::{Error, Result, Status, quote};

/// What happens to an input section.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposition {
    /// It becomes part of a segment.
    Loaded,
    /// It is `.eh_frame`, which becomes part of a segment record by record.
    EhFrame,
    /// It becomes part of the file, but of no segment: only debuggers read it.
    Debug,
    /// It is left out: only linkers read it.
    Ignored,
    /// It is left out because an earlier object has the same COMDAT group; object and section index of the corresponding
    /// section there, if there is one of the same name and size.
    Discarded(Option<(usize, usize)>),
}

/// The disposition of every section, by object and section index.
pub(super) type Dispositions = Vec<Vec<Disposition>>;

pub(super) fn select(inputs: &[Input<'_>], options: &Options) -> Result<Dispositions> {
    let mut dispositions = alloc::with_capacity(inputs.len(), "sections")?;
    for input in inputs {
        let of = input.sections.iter().map(|section| disposition(section, options));
        dispositions.push(alloc::collect(of, "sections")?);
    }
    discard_groups(inputs, &mut dispositions)?;
    for (input, dispositions) in inputs.iter().zip(&mut dispositions) {
        for index in 0..dispositions.len() {
            let section = item(&input.sections, index, "section")?;
            // A section that describes another one is discarded with it.
            let goes = section.is(elf::SHF_LINK_ORDER)
                && match dispositions.get(section.link as usize) {
                    Some(about) => matches!(about, Disposition::Discarded(_)),
                    None => {
                        let (name, link, count) = (quote(section.name), section.link, dispositions.len());
                        let what = format_args!("section '{name}': expected sh_link below {count}, found {link}");
                        return Err(failure(Status::Corrupt, input.name, what));
                    }
                };
            let disposition = item_mut(dispositions, index, "section")?;
            if goes && *disposition != Disposition::Ignored {
                *disposition = Disposition::Discarded(None);
            }
            check(input, section, *disposition)?;
        }
    }
    Ok(dispositions)
}

fn disposition(section: &Section<'_>, options: &Options) -> Disposition {
    // The note makes claims about all code of an image. An image without it makes none, which is always correct.
    let property = section.name == b".note.gnu.property";
    if section.is(elf::SHF_EXCLUDE) || property {
        return Disposition::Ignored;
    }
    if section.is_frame() {
        return Disposition::EhFrame;
    }
    if section.is(elf::SHF_ALLOC) {
        return Disposition::Loaded;
    }
    let debug = section.kind == elf::SHT_PROGBITS && !section.name.starts_with(b".note.GNU-");
    if debug && !options.leave_out_debug { Disposition::Debug } else { Disposition::Ignored }
}

/// Discards the sections of all groups but the first with each signature.
fn discard_groups(inputs: &[Input<'_>], dispositions: &mut Dispositions) -> Result<()> {
    let mut first = HashMap::new();
    for (object, input) in inputs.iter().enumerate() {
        first.try_reserve(input.groups.len()).map_err(|_| Error::no_memory("groups"))?;
        for group in &input.groups {
            let Some(&(winner, members)) = first.get(group.signature) else {
                first.insert(group.signature, (object, &group.members));
                continue;
            };
            for (position, &member) in group.members.iter().enumerate() {
                let section = item(&input.sections, member, "section")?;
                // Objects compiled from the same source have the group's sections in the same order.
                let mut twin = None;
                if let Some(&found) = members.get(position) {
                    let other = item(&item(inputs, winner, "object")?.sections, found, "section")?;
                    let alike = other.name == section.name && other.size == section.size;
                    twin = alike.then_some((winner, found));
                }
                *item_mut(item_mut(dispositions, object, "object")?, member, "section")? = Disposition::Discarded(twin);
            }
        }
    }
    Ok(())
}

/// Refuses sections that cannot be part of an image.
fn check(input: &Input<'_>, section: &Section<'_>, disposition: Disposition) -> Result<()> {
    let refuse = |why: &str| {
        let what = format_args!("section '{}' {why}", quote(section.name)).to_string();
        Err(failure(Status::Unsupported, input.name, what))
    };
    if section.name == b".note.GNU-stack" && section.is(elf::SHF_EXECINSTR) {
        return refuse(
            "asks for an executable stack, which a host cannot give; nested functions whose address is taken need one",
        );
    }
    if !matches!(disposition, Disposition::Loaded | Disposition::EhFrame | Disposition::Debug) {
        return Ok(());
    }
    if section.kind == elf::SHT_NOBITS && !section.relocations.is_empty() {
        let what = format!("section '{}' has relocations, but no bytes", quote(section.name));
        return Err(failure(Status::Corrupt, input.name, what));
    }
    if section.is(elf::SHF_COMPRESSED) || section.name.starts_with(b".zdebug") {
        return refuse("is compressed; compile with -gz=none");
    }
    if section.is(elf::SHF_TLS) {
        return refuse("is thread-local storage, which is not supported; keep it in the host and pass a pointer");
    }
    if disposition == Disposition::Debug {
        return Ok(());
    }
    if section.is(elf::SHF_WRITE) && section.is(elf::SHF_EXECINSTR) {
        return refuse("is writable and executable; code must not be writable");
    }
    if section.is(elf::SHF_EXECINSTR) && section.kind == elf::SHT_NOBITS {
        return refuse("is executable, but has no bytes");
    }
    match section.name {
        // Names of synthetic sections.
        b".gnu.hash" | b".dynsym" | b".dynstr" | b".rela.dyn" | b".eh_frame_hdr" | b".plt.got" | b".dynamic"
        | b".got" => {
            return refuse("has the name of a section that the linker creates; give it another name");
        }
        b".eh_frame" if disposition != Disposition::EhFrame => return refuse("has no bytes"),
        b".init" | b".fini" => {
            return refuse("is part of a function of the C startup code; use __attribute__((constructor))");
        }
        b".preinit_array" => return refuse("is valid in executables only; use __attribute__((constructor))"),
        name if [&b".ctors"[..], b".dtors"].iter().any(|old| name.starts_with(old)) => {
            return refuse("is the obsolete form of .init_array or .fini_array; compile with -fuse-init-array");
        }
        _ => {}
    }
    const KNOWN: [elf::SectionType; 5] =
        [elf::SHT_PROGBITS, elf::SHT_NOBITS, elf::SHT_NOTE, elf::SHT_INIT_ARRAY, elf::SHT_FINI_ARRAY];
    if !KNOWN.contains(&section.kind) && input.machine.unwind != Some(section.kind) {
        return refuse(&format!("has the unsupported type {:#x}", section.kind.0));
    }
    Ok(())
}
