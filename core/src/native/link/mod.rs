//! The linker: relocatable objects in, one position-independent shared object out. All that can be decided before the code is
//! loaded is decided here, so that loading maps pages and fills in pointers.
//!
//! Data walks one way: `input` (a checked view of each object) → `select` (which sections come in) → `symbols` (what each
//! name means) and `eh_frame` → `scan` (what relocations ask for, and what is refused) → `dynamic` (tables for the loader) →
//! `sections` and `layout` (addresses) → `apply` (relocations' values) → `image` (bytes). What differs by machine is in
//! `native/machine`. The rules are the ELF gABI's and the machines' psABIs'.
//!
//! The order of objects, sections and symbols decides everything: the same objects give the same bytes.

mod apply;
mod dynamic;
mod eh_frame;
mod image;
mod input;
mod layout;
mod scan;
mod sections;
mod select;
mod symbols;

use std::fmt::Display;

use crate::alloc;
use crate::error::{Error, Result, Status, quote};

/// A relocatable object: what `cc -c` makes.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// What messages call it, such as its file's name.
    pub name: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// How to link.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Leave out what only debuggers read: sections like `.debug_info`.
    pub leave_out_debug: bool,
}

/// Links objects into one shared object.
///
/// Global symbols of default and protected visibility can be looked up in it; a name that an object defines means that
/// definition in all objects. Names that no object defines are left to the loader.
///
/// # Errors
///
/// INVALID_ARGUMENT without objects, for what is no relocatable object, and for a name that two objects define; UNSUPPORTED for
/// what can't be position-independent or linked, naming object, section, offset, symbol and relocation, and what to do;
/// TRUNCATED or CORRUPT for a damaged object; LIMIT; NO_MEMORY.
pub fn link(objects: &[Object<'_>], options: &Options) -> Result<Vec<u8>> {
    let mut inputs = alloc::with_capacity(objects.len(), "objects")?;
    for object in objects {
        inputs.push(input::Input::parse(object)?);
    }
    let Some(first) = inputs.first() else {
        return Err(Error::new(Status::InvalidArgument, "objects: expected at least one, found none"));
    };
    let machine = first.machine;
    if let Some(other) = inputs.iter().find(|input| input.machine.number != machine.number) {
        let message = format!(
            "object '{}': expected one for {}, as object '{}', found one for {}",
            quote(other.name.as_bytes()),
            machine.name,
            quote(first.name.as_bytes()),
            other.machine.name,
        );
        return Err(Error::new(Status::InvalidArgument, message));
    }
    let dispositions = select::select(&inputs, options)?;
    let mut symbols = symbols::Symbols::resolve(&inputs, &dispositions)?;
    let frames = eh_frame::Frames::collect(&inputs, &dispositions)?;
    let needs = scan::Needs::scan(&inputs, &dispositions, &mut symbols, &frames)?;
    let tables = dynamic::Tables::new(&symbols, &needs)?;
    let layout = layout::Layout::new(&inputs, &dispositions, &symbols, &frames, &needs, &tables.sizes(), machine)?;
    let context = apply::LinkContext { inputs, dispositions, symbols, frames, needs, layout, machine };
    image::write(context, tables)
}

/// A broken invariant of the linker, which no object can cause. The alternative to this error is a wrong image.
#[cold]
fn defect(invariant: impl Display) -> Error {
    Error::new(Status::Internal, format!("linker: {invariant}"))
}

/// Returns the element at an index that the linker itself has made or checked.
fn item<'l, T>(list: &'l [T], index: usize, what: &'static str) -> Result<&'l T> {
    list.get(index).ok_or_else(|| defect(format_args!("{what} {index} of {}", list.len())))
}

/// As [`item`], to change it.
fn item_mut<'l, T>(list: &'l mut [T], index: usize, what: &'static str) -> Result<&'l mut T> {
    let len = list.len();
    list.get_mut(index).ok_or_else(|| defect(format_args!("{what} {index} of {len}")))
}

/// The machine that an object is for, as `e_machine`.
///
/// # Errors
///
/// As [`link`], for what is no relocatable object of a machine that we link for.
pub fn machine_of(object: &Object<'_>) -> Result<u16> {
    Ok(input::check_kind(object.bytes)
        .map_err(|error| error.within(format!("object '{}'", quote(object.name.as_bytes()))))?
        .number
        .0)
}
