//! The linker: turns relocatable objects into one position-independent shared object. Whatever can be decided before the code
//! is loaded is decided here, so that loading only maps pages and fills in pointers.
//!
//! Data flows one way: `archive` (the objects, with those members of archives that are needed) → `input` (a checked view of each
//! object) → `select` (which sections are linked, by the table in `kinds`) → `symbols` (symbol resolution) and `eh_frame` → `gc`
//! (which sections nothing needs) → `scan` (what each relocation needs, or why it cannot be linked) and `got` → `dynamic` and `versions` (tables
//! for the loader) → `merge` (equal strings and constants) → `sections`, `veneers` and `layout` (addresses) → `apply` (relocated
//! section contents) → `relr` (packed relocations; there is a second layout with their size) → `image` (the file). What differs by
//! machine is in `native/machine`. The rules are those of the ELF gABI and the machines' psABIs.
//!
//! The output depends only on the objects and their order: the same objects give the same bytes.

mod apply;
mod archive;
mod arrays;
mod compressed;
mod cpu_model;
mod debug;
mod dynamic;
mod eh_frame;
mod gc;
mod got;
mod image;
mod input;
mod kinds;
mod layout;
mod merge;
mod refusals;
mod relr;
mod scan;
mod sections;
mod select;
mod startup;
mod symbols;
mod veneers;
mod versions;

use std::fmt::Display;

pub use symbols::check_code;

use crate::alloc;
use crate::error::{Error, Result, Status, quote};
use crate::native::image::{Bytes, Image};
use crate::native::machine::Machine;
use crate::native::verify::verify_relocations;

/// A relocatable object, as `cc -c` writes it, or an archive of them.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// Its name in messages, such as its file name.
    pub name: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// How to link.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Options<'a> {
    /// Leave out sections that only debuggers read, such as `.debug_info`.
    pub leave_out_debug: bool,
    /// Link all members of archives, whether or not they are needed.
    pub whole_archives: bool,
    /// Leave out sections that nothing needs that is exported or runs when the shared object is loaded.
    pub gc_sections: bool,
    /// Pack relative relocations (DT_RELR). Dynamic linkers that do not know DT_RELR, such as glibc's before 2.36, open the shared
    /// object without an error, but do not relocate it; this loader knows it.
    pub pack_relative_relocs: bool,
    /// The symbols that the shared object exports. If there are any, it exports no others, and sections that they do not need are
    /// left out.
    pub entries: &'a [&'a str],
}

/// Links objects into one shared object.
///
/// The shared object exports global symbols of default and protected visibility. A symbol that one of the objects defines
/// resolves to that definition in all of them. Symbols that no object defines are left to the loader.
///
/// Of an archive, those members are linked that define what the objects, the options' entries or other linked members refer to,
/// other than weakly. If several members define a symbol, the first one of the first archive counts. Members come after the objects,
/// in the order of the archives and within them. Their names in messages are `lib.a(member.o)`.
///
/// # Errors
///
/// INVALID_ARGUMENT if there is nothing to link, if an input is neither a relocatable object nor an archive, if two objects define the
/// same symbol, or if no object defines an entry;
/// UNSUPPORTED for relocations that need position-dependent code and for features that cannot be linked: the message names
/// all of them, up to a limit: object, section, offset, symbol and relocation, and what to do; TRUNCATED or CORRUPT for a damaged
/// object; LIMIT; NO_MEMORY.
pub fn link(objects: &[Object<'_>], options: &Options<'_>) -> Result<Vec<u8>> {
    let sources = archive::expand(objects, options)?;
    let mut inputs = alloc::with_capacity(sources.len(), "objects")?;
    for archive::Source { name, bytes } in &sources {
        inputs.push(input::Input::parse(&Object { name, bytes })?);
    }
    let Some(first) = inputs.first() else {
        return Err(match options.entries.first() {
            Some(entry) if !objects.is_empty() => symbols::no_entry(entry),
            _ => {
                let found = if objects.is_empty() {
                    "none"
                } else {
                    "only archives, of which nothing is needed; name an entry, or link all members"
                };
                Error::new(Status::InvalidArgument, format!("objects: expected at least one, found {found}"))
            }
        });
    };
    let machine = first.machine;
    if let Some(other) = inputs.iter().find(|input| input.machine.number != machine.number) {
        let message = format!(
            "{}: expected an object for {} like {}, found one for {}",
            quote(other.name.as_bytes()),
            machine.name,
            quote(first.name.as_bytes()),
            other.machine.name,
        );
        return Err(Error::new(Status::InvalidArgument, message));
    }
    if let Some(own) = cpu_model::input(&inputs, machine) {
        alloc::push(&mut inputs, own, "objects")?;
    }
    let mut refusals = refusals::Refusals::default();
    let mut dispositions = select::select(&inputs, options)?;
    let gc = options.gc_sections || !options.entries.is_empty();
    if !gc {
        select::check_all(&inputs, &dispositions, &mut refusals)?;
    }
    compressed::expand(&mut inputs, &dispositions)?;
    arrays::turn(&mut inputs, &dispositions)?;
    let mut symbols = symbols::Symbols::resolve(&inputs, &dispositions, &mut refusals)?;
    symbols.export_only(options.entries)?;
    let mut frames = eh_frame::Frames::collect(&inputs, &dispositions)?;
    if gc {
        gc::drop_unused(&inputs, &mut dispositions, &mut symbols, &frames)?;
        // What is left out may be anything.
        select::check_all(&inputs, &dispositions, &mut refusals)?;
    }
    frames.lay_out(&dispositions)?;
    let needs = scan::Needs::scan(&inputs, &dispositions, &mut symbols, &frames, &mut refusals)?;
    refusals.finish()?;
    frames.check_encodings(&inputs)?;
    let mut tables = dynamic::Tables::new(&symbols, &needs, machine, options.pack_relative_relocs)?;
    let merged = merge::Merged::collect(&inputs, &dispositions, gc)?;
    let parts = layout::Parts {
        inputs: &inputs,
        dispositions: &dispositions,
        symbols: &symbols,
        frames: &frames,
        needs: &needs,
        merged: &merged,
    };
    let layout = layout::Layout::new(&parts, &tables.sizes(), machine)?;
    let mut context = apply::LinkContext { inputs, dispositions, symbols, frames, needs, merged, layout, machine };
    if options.pack_relative_relocs {
        let (_, deferred) = image::write_sections(&mut context)?;
        tables.pack(&relr::Packed::new(deferred.dynamic, &context.layout, machine)?);
        context.layout = layout::Layout::new(&context.parts(), &tables.sizes(), machine)?;
    }
    let image = image::write(context, tables)?;
    check_loadable(&image, machine).map_err(|error| error.within("linked image"))?;
    Ok(image)
}

/// Checks an image as the loader does before it maps one. An object can contradict itself in ways that only show there; its author
/// gets the error from the linker, not its user from the loader.
fn check_loadable(image: &[u8], machine: &Machine) -> Result<()> {
    let tables = super::image::parse(image, machine.number.0, machine.max_page_size)?;
    let image = Image { bytes: Bytes::whole(image), tables: &tables };
    image.check_unwind_table()?;
    verify_relocations(&image, machine)
}

/// Reports a broken invariant of the linker, which no object can cause. Without this error the image would be wrong.
#[cold]
fn defect(invariant: impl Display) -> Error {
    Error::new(Status::Internal, format!("linker: {invariant}"))
}

/// Returns the element at an index that the linker computed or has checked.
fn item<'l, T>(list: &'l [T], index: usize, what: &'static str) -> Result<&'l T> {
    list.get(index).ok_or_else(|| defect(format_args!("{what} {index} of {}", list.len())))
}

/// Like [`item`], mutable.
fn item_mut<'l, T>(list: &'l mut [T], index: usize, what: &'static str) -> Result<&'l mut T> {
    let len = list.len();
    list.get_mut(index).ok_or_else(|| defect(format_args!("{what} {index} of {len}")))
}

/// Returns the machine that an object is for, as `e_machine`.
///
/// # Errors
///
/// As [`link`], if it is not a relocatable object for a machine that the linker knows.
pub fn machine_of(object: &Object<'_>) -> Result<u16> {
    Ok(input::check_kind(object.bytes).map_err(|error| error.within(quote(object.name.as_bytes())))?.number.0)
}
