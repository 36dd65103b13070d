//! Section selection: which sections of the objects are linked.

use std::collections::HashMap;

use object::elf;

use super::input::{Input, Section, failure};
use super::kinds::{self, Fate};
use super::refusals::Refusals;
use super::{Options, item, item_mut};
use crate::alloc;
use crate::error::{Error, Result, Status, quote};
use crate::native::machine::Machine;

/// What happens to an input section.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposition {
    /// It becomes part of a segment.
    Loaded,
    /// It is `.eh_frame`, which becomes part of a segment record by record.
    EhFrame,
    /// It becomes part of the file, but of no segment: only debuggers read it.
    Debug,
    /// It is left out: only linkers read it, or an image is right without it.
    Ignored,
    /// It cannot be linked.
    Refused,
    /// It is left out because an earlier object has the same COMDAT group; object and section index of the corresponding
    /// section there, if there is one of the same name and size.
    Discarded(Option<(usize, usize)>),
}

/// The disposition of every section, by object and section index.
pub(super) type Dispositions = Vec<Vec<Disposition>>;

pub(super) fn select(inputs: &[Input<'_>], options: &Options<'_>) -> Result<Dispositions> {
    let mut dispositions = alloc::with_capacity(inputs.len(), "sections")?;
    for input in inputs {
        let of = input.sections.iter().map(|section| disposition(section, input.machine, options));
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
        }
    }
    Ok(dispositions)
}

/// Checks that the sections that are linked can be part of an image.
///
/// # Errors
///
/// CORRUPT for a section that contradicts itself. What cannot be linked is kept in `refusals`.
pub(super) fn check_all(inputs: &[Input<'_>], dispositions: &Dispositions, refusals: &mut Refusals) -> Result<()> {
    for (input, dispositions) in inputs.iter().zip(dispositions) {
        for (section, disposition) in input.sections.iter().zip(dispositions) {
            refusals.keep(check(input, section, *disposition))?;
        }
    }
    Ok(())
}

fn disposition(section: &Section<'_>, machine: &Machine, options: &Options<'_>) -> Disposition {
    match kinds::fate(section, machine) {
        Fate::Loaded => Disposition::Loaded,
        Fate::EhFrame => Disposition::EhFrame,
        Fate::Debug if !options.leave_out_debug => Disposition::Debug,
        Fate::Debug | Fate::LeftOut => Disposition::Ignored,
        // `check` says why, unless an earlier object has the section's group.
        Fate::Refused(_) | Fate::Unknown => Disposition::Refused,
    }
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
    let refuse = |status, why: &str| {
        let what = format_args!("section '{}' {why}", quote(section.name)).to_string();
        Err(failure(status, input.name, what))
    };
    match disposition {
        Disposition::Ignored | Disposition::Discarded(_) => return Ok(()),
        Disposition::Loaded | Disposition::EhFrame | Disposition::Debug => {}
        Disposition::Refused => {
            return match kinds::fate(section, input.machine) {
                Fate::Refused(why) => refuse(Status::Unsupported, why),
                _ => refuse(Status::Unsupported, &format!("has the unsupported type {:#x}", section.kind.0)),
            };
        }
    }
    if section.kind == elf::SHT_NOBITS && !section.relocations.is_empty() {
        return refuse(Status::Corrupt, "has relocations, but no bytes");
    }
    if section.name.starts_with(b".zdebug") {
        return refuse(Status::Unsupported, "is compressed in an obsolete way; compile with -gz=zlib or -gz=none");
    }
    if section.compression.is_some() && disposition != Disposition::Debug {
        return refuse(Status::Corrupt, "is part of the program's memory, but compressed");
    }
    Ok(())
}
