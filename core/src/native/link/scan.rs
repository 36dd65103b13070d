//! Scans all relocations before layout: counts the GOT entries, PLT entries and dynamic relocations that they need, and
//! refuses relocations that cannot be linked.

use object::elf;

use super::eh_frame::Frames;
use super::got::Got;
use super::input::{Input, ORDER, Rela, Section, Site, kind};
use super::refusals::Refusals;
use super::select::{Disposition, Dispositions};
use super::symbols::{Definition, Entry, LinkerSymbol, Symbols, Target};
use super::{item, item_mut};
use crate::alloc;
use crate::error::Result;
use crate::native::machine::{AddressFrom, Howto, RelExpr, Slot};

/// What one relocation needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: its value depends on the image's layout only.
    Direct,
    /// Nothing, once its instructions are replaced by those that compute the address.
    Computed,
    /// The symbol's address in the GOT, from which the instructions that replace its own load it.
    Loaded,
    /// A slot in the GOT.
    Slot(Slot),
    /// A PLT entry, which needs the symbol's address in the GOT.
    PltEntry,
    /// A GOT, whose address it refers to.
    Got,
    /// A dynamic relocation that adds the image's address.
    Rebase,
    /// A dynamic relocation that stores the symbol's address.
    Import,
    /// A dynamic relocation that stores the address of an indirect function.
    Resolve,
}

/// What all relocations need.
#[derive(Default)]
pub(super) struct Needs {
    pub got: Got,
    /// Whether the image has a GOT.
    pub has_got: bool,
    /// The symbol of each PLT entry.
    pub plt_entries: Vec<usize>,
    /// Number of dynamic relocations, without those of the GOT.
    pub words: u64,
    /// By object and section index: whether the section has dynamic relocations.
    relocated: Vec<Vec<bool>>,
    /// Whether the image is small enough to replace loads from the GOT.
    near: bool,
}

/// In images whose sections are together smaller every 32-bit displacement reaches everything.
const NEAR: u64 = 1 << 30;

/// What to do about code that isn't position-independent: for a compiler's command line, then for who calls a compiler as a library.
const PIC: &str = "compile with -fPIC (LLVM: Reloc::PIC_ with CodeModel::Small, Cranelift: is_pic = true)";
const DYNAMIC: &str = "compile with -fPIC -ftls-model=global-dynamic";

impl Needs {
    /// Scans the relocations of all loaded sections.
    ///
    /// # Errors
    ///
    /// UNSUPPORTED, naming the relocation; CORRUPT.
    pub fn scan<'a>(
        inputs: &[Input<'a>],
        dispositions: &Dispositions,
        symbols: &mut Symbols<'a>,
        frames: &Frames,
        refusals: &mut Refusals,
    ) -> Result<Needs> {
        let sizes = inputs.iter().flat_map(|input| &input.sections).map(|section| section.size);
        let commons = symbols.entries.iter().filter(|entry| matches!(entry.definition, Definition::Common { .. }));
        let total = sizes.chain(commons.map(|entry| entry.size)).fold(0u64, u64::saturating_add);
        let mut needs = Needs { near: total < NEAR, ..Needs::default() };
        for (object, (input, of)) in inputs.iter().zip(dispositions).enumerate() {
            let mut relocated = alloc::with_capacity(of.len(), "sections")?;
            for (section, disposition) in input.sections.iter().zip(of) {
                let before = needs.words;
                for rela in section.relocations.iter().filter(|_| *disposition == Disposition::Loaded) {
                    let result = needs.add(input, object, section, rela, symbols, dispositions);
                    refusals.keep_one((object, rela.r_sym(ORDER, false) as usize), result)?;
                }
                relocated.push(needs.words > before);
            }
            needs.relocated.push(relocated);
        }
        for record in frames.kept() {
            let input = item(inputs, record.object, "object")?;
            let section = item(&input.sections, record.section, "section")?;
            for rela in frames.relocations_of(record)? {
                // `add` refuses unknown types, so their width does not matter.
                let width = (input.machine.howto)(kind(rela)).map_or(0, |howto| howto.field.width() as u64);
                let end = rela.r_offset.get(ORDER).saturating_add(width);
                if end > (record.start + record.len) as u64 {
                    return Err(input.site(section, rela).corrupt("crosses the end of its .eh_frame record"));
                }
                let result = needs.add(input, record.object, section, rela, symbols, dispositions);
                refusals.keep_one((record.object, rela.r_sym(ORDER, false) as usize), result)?;
            }
        }
        if let Some(finalize) = symbols.finalize {
            needs.add_slot(symbols, finalize, Slot::Address)?;
            // The pointer to the finalizer in .fini_array.
            needs.words += 1;
        }
        for index in 0..symbols.exit_functions.len() {
            let (_, called) = *item(&symbols.exit_functions, index, "function")?;
            needs.add_slot(symbols, called, Slot::Address)?;
        }
        Ok(needs)
    }

    /// Returns whether a section has dynamic relocations.
    pub fn is_relocated(&self, object: usize, section: usize) -> Result<bool> {
        Ok(*item(item(&self.relocated, object, "object")?, section, "section")?)
    }

    fn add(
        &mut self,
        input: &Input<'_>,
        object: usize,
        section: &Section<'_>,
        rela: &Rela,
        symbols: &mut Symbols<'_>,
        dispositions: &Dispositions,
    ) -> Result<()> {
        let site = input.site(section, rela);
        let Some(howto) = (input.machine.howto)(kind(rela)) else {
            return Err(site.refuse("is not supported"));
        };
        if howto.expr == RelExpr::None {
            return Ok(());
        }
        let index = symbols.find(object, rela, &site)?;
        let entry = item_mut(&mut symbols.entries, index, "symbol")?;
        if howto.expr != RelExpr::Size {
            check_storage(entry, howto.expr, &site)?;
        }
        if let Definition::Section { section, .. } = entry.definition {
            match item(item(dispositions, entry.object, "object")?, section, "section")? {
                Disposition::Loaded => {}
                Disposition::Discarded(_) => {
                    return Err(
                        site.refuse("refers to a discarded section: an earlier object has the same COMDAT group")
                    );
                }
                // It has been said why.
                Disposition::Refused => return Ok(()),
                Disposition::EhFrame | Disposition::Debug | Disposition::Ignored => {
                    return Err(site.refuse("refers to a section that is not linked as it is"));
                }
            }
        }
        self.has_got |= matches!(entry.definition, Definition::Linker(LinkerSymbol::Got));
        let need = self.need(howto, entry.target(), section, rela, &site)?;
        match need {
            Need::Direct | Need::Computed => {}
            Need::Loaded => self.add_slot(symbols, index, Slot::Address)?,
            Need::Slot(slot) => self.add_slot(symbols, index, slot)?,
            Need::PltEntry => {
                self.add_slot(symbols, index, Slot::Address)?;
                let entry = item_mut(&mut symbols.entries, index, "symbol")?;
                if entry.plt_entry.is_none() {
                    entry.plt_entry = Some(self.plt_entries.len() as u32);
                    alloc::push(&mut self.plt_entries, index, "PLT entries")?;
                }
            }
            Need::Got => self.has_got = true,
            Need::Rebase | Need::Resolve => self.words += 1,
            Need::Import => {
                self.words += 1;
                item_mut(&mut symbols.entries, index, "symbol")?.imported = true;
            }
        }
        self.has_got |= matches!(howto.expr, RelExpr::GotRel | RelExpr::PltGotRel);
        Ok(())
    }

    fn add_slot(&mut self, symbols: &mut Symbols<'_>, index: usize, slot: Slot) -> Result<()> {
        self.has_got = true;
        self.got.add(symbols, index, slot)
    }

    /// Returns what a relocation needs, given where its symbol is. `apply` asks this again, and gets the same answer.
    ///
    /// # Errors
    ///
    /// UNSUPPORTED if the relocation cannot be linked, CORRUPT if it lies outside its section.
    pub fn need(
        &self,
        howto: Howto,
        target: Target,
        section: &Section<'_>,
        rela: &Rela,
        site: &Site<'_>,
    ) -> Result<Need> {
        let (offset, addend) = (rela.r_offset.get(ORDER), rela.r_addend.get(ORDER));
        let end = offset.checked_add(howto.field.width() as u64);
        if end.is_none_or(|end| end > section.data.len() as u64) {
            let size = section.data.len();
            return Err(site.corrupt(format_args!("lies outside the section, which has {size} bytes")));
        }
        let at = offset as usize;
        let is_code = section.is(elf::SHF_EXECINSTR) && !section.is_frame();
        let rewrites = |from| is_code && (site.input.machine.rewrite)(&section.data, at, howto, from).is_some();
        let computes = || match howto.expr {
            RelExpr::GotPcRelaxable => self.near && addend == -4 && rewrites(AddressFrom::Distance),
            _ => rewrites(AddressFrom::Distance),
        };
        // x86-64 counts from the end of the instruction, which is four bytes after the field.
        let loads = || addend == if howto.expr == RelExpr::Pc { -4 } else { 0 } && rewrites(AddressFrom::Got);
        let is_jump = || howto.expr == RelExpr::PltPc || is_code && (site.input.machine.is_jump)(&section.data, at);
        let word = |need: Need| match () {
            () if !howto.field.is_word() => {
                Err(site.refuse(format_args!("is too narrow for an address, which is known only at load time; {PIC}")))
            }
            () if is_code => {
                Err(site.refuse(format_args!("needs a dynamic relocation in code, which is never writable; {PIC}")))
            }
            () if section.is_frame() => Err(site
                .refuse(format_args!("needs a dynamic relocation in unwind tables, which are never writable; {PIC}"))),
            () => Ok(need),
        };
        let host = || {
            let instead = match site.symbol() {
                // clang takes it for the objects' own, whatever the options are.
                b"__cpu_features2" => "only libgcc.a has these features of the CPU: add that archive".to_owned(),
                _ if site.is_hidden() => "the symbol is hidden: add the object that defines it".to_owned(),
                _ => format!("{PIC}, or add the object that defines it"),
            };
            Err(site.refuse(format_args!("refers directly to data of the host, which may be out of reach; {instead}")))
        };
        if target == Target::Missing {
            return Err(site.corrupt("refers to a local symbol that is undefined"));
        }
        match (howto.expr, target) {
            // A large model's code may be too far from the symbol to compute its address.
            (RelExpr::Absolute, Target::Inside) if !self.near && loads() => Ok(Need::Loaded),
            (RelExpr::GotPcRelaxable | RelExpr::Absolute, Target::Inside) if computes() => Ok(Need::Computed),
            (
                RelExpr::Absolute | RelExpr::Pc | RelExpr::PagePc | RelExpr::PageOffset,
                Target::Outside | Target::Indirect,
            ) if loads() => Ok(Need::Loaded),
            (RelExpr::Absolute, Target::Indirect) if addend == 0 => word(Need::Resolve),
            (RelExpr::Absolute | RelExpr::PagePc | RelExpr::PageOffset | RelExpr::Size, Target::Indirect) => Err(site
                .refuse(
                    "refers to an indirect function (STT_GNU_IFUNC) as if it were data; take its address, or call it",
                )),
            // The address of the PLT entry, which calls the function.
            (RelExpr::Pc | RelExpr::PltPc | RelExpr::GotRel | RelExpr::PltGotRel, Target::Indirect) => {
                Ok(Need::PltEntry)
            }
            (RelExpr::Absolute, Target::Inside) => word(Need::Rebase),
            (RelExpr::Absolute, Target::Outside) => word(Need::Import),
            (RelExpr::Absolute | RelExpr::PageOffset, _) if target != Target::Outside => Ok(Need::Direct),
            (RelExpr::Pc | RelExpr::PagePc | RelExpr::PltPc | RelExpr::GotRel | RelExpr::PltGotRel, Target::Inside) => {
                Ok(Need::Direct)
            }
            (RelExpr::PltGotRel, Target::Outside) => Ok(Need::PltEntry),
            (RelExpr::Pc | RelExpr::PltPc, Target::Outside) if is_jump() => Ok(Need::PltEntry),
            // The program tests the address before it calls a weak symbol, so the call is never executed.
            (RelExpr::Pc | RelExpr::PltPc, Target::Zero) if is_jump() => Ok(Need::Direct),
            (RelExpr::GotPagePc(_) | RelExpr::GotPageOffset(_) | RelExpr::GotFromGotPage, _) if addend != 0 => {
                Err(site.refuse(format_args!("has the addend {addend}: expected 0 for a GOT slot")))
            }
            (RelExpr::GotPc(slot) | RelExpr::GotPagePc(slot) | RelExpr::GotPageOffset(slot), _) => {
                self::slot(slot, target, site)
            }
            (RelExpr::GotPcRelaxable | RelExpr::GotFromGotPage | RelExpr::GotFromGot, _) => {
                Ok(Need::Slot(Slot::Address))
            }
            (RelExpr::TlsOffset, Target::Inside) => Ok(Need::Direct),
            (RelExpr::TlsOffset, _) => self::slot(Slot::Local, target, site),
            (RelExpr::TlsStaticOffset, _) => Err(site.refuse(format_args!(
                "is local exec, which needs thread-local storage that only programs have; {DYNAMIC}"
            ))),
            (RelExpr::GotBasePc, _) => Ok(Need::Got),
            (RelExpr::Size, Target::Inside | Target::Absolute) => Ok(Need::Direct),
            (_, Target::Absolute) => {
                Err(site
                    .refuse(format_args!("is a distance to a fixed address, which is known only at load time; {PIC}")))
            }
            (_, Target::Zero) => Err(site.refuse(format_args!("is a distance to an undefined weak symbol; {PIC}"))),
            _ => host(),
        }
    }
}

/// Checks that a symbol is thread-local if and only if the relocation is for one that is. The first relocation against an undefined
/// symbol decides, if its type does not.
fn check_storage(entry: &mut Entry<'_>, expr: RelExpr, site: &Site<'_>) -> Result<()> {
    let expected = expr.is_thread_local();
    match *entry.thread_local.get_or_insert(expected) {
        found if found == expected => Ok(()),
        true => Err(site.refuse("is not for thread-local symbols, as the symbol is; declare it alike in all objects")),
        false => {
            Err(site.refuse("is for thread-local symbols, but the symbol is none; declare it alike in all objects"))
        }
    }
}

/// Returns the need for a slot in the GOT.
///
/// # Errors
///
/// UNSUPPORTED if the loader could not fill it.
fn slot(slot: Slot, target: Target, site: &Site<'_>) -> Result<Need> {
    match (slot, target) {
        (Slot::Address, _)
        | (Slot::General | Slot::Descriptor, Target::Inside | Target::Outside)
        | (Slot::Local, Target::Inside)
        | (Slot::StaticOffset, Target::Outside) => Ok(Need::Slot(slot)),
        (_, Target::Zero | Target::Absolute | Target::Missing) => {
            Err(site.refuse("refers to a thread-local symbol that is undefined, weak and hidden; define it"))
        }
        (Slot::StaticOffset, _) => Err(site.refuse(format_args!(
            "is initial exec, which needs static thread-local storage, but only the host's variables can be there; {DYNAMIC}, \
             without the attribute tls_model"
        ))),
        _ => Err(site.refuse(format_args!("is local dynamic, but the symbol is not in the image; {DYNAMIC}"))),
    }
}
