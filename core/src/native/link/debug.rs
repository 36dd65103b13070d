//! Applies the relocations of debug sections. Addresses in them are relative to the image's start; a debug section itself is at address
//! 0, so that an address in it is an offset.

use super::apply::{ImageWriter, LinkContext, OutputLocation};
use super::input::{ORDER, Rela, Section, kind};
use super::item;
use super::sections::Class;
use super::select::Disposition;
use super::symbols::{Definition, Entry, LinkerSymbol};
use crate::alloc;
use crate::error::Result;
use crate::native::machine::{RelExpr, Slot};

/// A word of a debug section that holds an address of the image. The word is already correct in the file. A debugger that is
/// shown the loaded image (`native/load/gdb.rs`) must know it to add the load address.
pub(super) struct DebugAddress {
    /// The index of the debug section.
    pub section: usize,
    /// The offset of the word in it.
    pub offset: u64,
    /// The index of the section that the address points into.
    pub target: usize,
    pub address: u64,
}

impl LinkContext<'_> {
    /// Applies a relocation of a debug section; `index` is that of its output section. What is not in the image has no address: the
    /// field becomes 0.
    ///
    /// # Errors
    ///
    /// UNSUPPORTED for relocations that debug sections cannot have, CORRUPT for one outside its section.
    pub fn apply_debug(
        &self,
        writer: &mut ImageWriter<'_>,
        location: OutputLocation,
        index: usize,
        (object, section): (usize, &Section<'_>),
        rela: &Rela,
    ) -> Result<()> {
        let site = &self.site(object, section, rela)?;
        let unknown = || site.refuse("is not supported in debug sections");
        let howto = (self.machine.howto)(kind(rela)).ok_or_else(unknown)?;
        let entry = item(&self.symbols.entries, self.symbols.find(object, rela, site)?, "symbol")?;
        let at = rela.r_offset.get(ORDER);
        let end = at.checked_add(howto.field.width() as u64);
        if end.is_none_or(|end| end > section.data.len() as u64) {
            return Err(site.corrupt(format_args!("lies outside the section, which has {} bytes", section.data.len())));
        }
        let location = location.plus(at);
        let (symbol, addend) = self.debug_address(entry, rela.r_addend.get(ORDER))?;
        let (symbol, addend) = (symbol.map(i128::from), i128::from(addend));
        let place = i128::from(location.address);
        // An entry that no code needs is not made for a debugger.
        let is_made = entry.slots.get(Slot::Address as usize).is_some_and(Option::is_some);
        let got_entry = || is_made.then(|| self.slot_address(entry, Slot::Address).map(i128::from)).transpose();
        let got = i128::from(self.layout.linker_symbol(LinkerSymbol::Got)?);
        let value = match howto.expr {
            RelExpr::None => return Ok(()),
            RelExpr::Absolute => symbol.map(|symbol| symbol + addend),
            RelExpr::Pc | RelExpr::PltPc => symbol.map(|symbol| symbol + addend - place),
            RelExpr::GotRel | RelExpr::PltGotRel => symbol.map(|symbol| symbol + addend - got),
            RelExpr::GotBasePc => Some(got + addend - place),
            RelExpr::GotPc(Slot::Address) | RelExpr::GotPcRelaxable => got_entry()?.map(|entry| entry + addend - place),
            RelExpr::GotFromGot => got_entry()?.map(|entry| entry + addend - got),
            RelExpr::Size => Some(i128::from(entry.size) + addend),
            RelExpr::TlsOffset => Some(symbol.unwrap_or(0) + addend),
            _ => return Err(unknown()),
        };
        // Two zeros would end a list of ranges.
        let nowhere = i128::from([&b".debug_ranges"[..], b".debug_loc"].contains(&section.name));
        writer.store(location.offset, howto.field, value.unwrap_or(nowhere), || {
            site.refuse("is out of range: expected less than 4 GiB of debug information")
        })?;
        if let Some((target, value)) = entry.output.map(usize::from).zip(value)
            && item(&self.layout.outputs, target, "output section")?.class != Class::Debug
            && howto.expr == RelExpr::Absolute
            && howto.field.is_word()
            && entry.thread_local != Some(true)
        {
            let deferred = DebugAddress { section: index, offset: location.address, target, address: value as u64 };
            alloc::push(&mut writer.deferred.debug, deferred, "relocations of debug sections")?;
        }
        Ok(())
    }

    /// Returns the address of a symbol for a debug section, and what is added to it; for a symbol in a debug section, the offset in
    /// that section.
    fn debug_address(&self, entry: &Entry<'_>, addend: i64) -> Result<(Option<u64>, i64)> {
        let disposition = |object, section| item(item(&self.dispositions, object, "object")?, section, "section");
        Ok(match entry.definition {
            Definition::Section { section, offset } => {
                let (object, section) = match *disposition(entry.object, section)? {
                    Disposition::Loaded | Disposition::Debug => (entry.object, section),
                    // The debug section that is linked in its place has the same contents. For code that is not certain, so
                    // its address is not used.
                    Disposition::Discarded(Some((object, section)))
                        if *disposition(object, section)? == Disposition::Debug =>
                    {
                        (object, section)
                    }
                    Disposition::Discarded(_) | Disposition::EhFrame | Disposition::Ignored | Disposition::Refused => {
                        return Ok((None, addend));
                    }
                };
                let (offset, addend) = self.merged.target((object, section), entry.kind, offset, addend)?;
                (Some(self.layout.address_of(object, section)? + offset), addend)
            }
            Definition::Undefined => (None, addend),
            _ => (Some(entry.address), addend),
        })
    }
}
