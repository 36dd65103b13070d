//! What each name means: of all objects' symbols one entry per global name, and one per local symbol.

use std::collections::HashMap;

use object::elf::{self, SymbolBind, SymbolType};

use super::input::{Input, Rela, Site, Symbol, SymbolLocation, failure};
use super::select::{Disposition, Dispositions};
use super::{item, item_mut};
use crate::alloc;
use crate::error::{Error, Result, Status, quote};

/// The entry of symbol 0: no symbol, the address 0.
const NONE: usize = 0;

pub(super) struct Symbols<'a> {
    pub entries: Vec<Entry<'a>>,
    /// The entry of each symbol of each object.
    by_object: Vec<Vec<usize>>,
    globals: HashMap<&'a [u8], usize>,
    /// What `__cxa_finalize` is, if destructors have to be run by the image.
    pub finalize: Option<usize>,
}

pub(super) struct Entry<'a> {
    pub name: &'a [u8],
    /// The object that defines it, or names it first.
    pub object: usize,
    pub definition: Definition<'a>,
    pub binding: SymbolBind,
    pub kind: SymbolType,
    /// `st_other`, with the strictest visibility that an object asks for.
    pub other: u8,
    pub size: u64,
    /// Its address in the image, once there is one.
    pub address: u64,
    /// The section of the image that it is in.
    pub output: Option<usize>,
    /// Its slot in the GOT and its stub, counted from 0.
    pub got_entry: Option<usize>,
    pub plt_entry: Option<usize>,
    /// Whether a dynamic relocation names it.
    pub imported: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Definition<'a> {
    Undefined,
    Absolute(u64),
    Section { section: usize, offset: u64 },
    Common { align: u64, large: bool },
    Linker(LinkerSymbol<'a>),
}

/// What the linker itself defines.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkerSymbol<'a> {
    ImageStart,
    TextEnd,
    DataEnd,
    BssStart,
    End,
    Got,
    Dynamic,
    /// Any address of the image, by which the C++ runtime knows whose destructors they are.
    DsoHandle,
    SectionStart(&'a [u8]),
    SectionEnd(&'a [u8]),
}

/// Where a symbol is, as far as relocations care.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Somewhere in the image.
    Inside,
    /// A number, whatever the image's address.
    Absolute,
    /// A weak symbol that nobody outside may define: the number 0.
    Zero,
    /// In the host, or wherever the loader finds it.
    Outside,
    /// Nowhere: a local symbol that its object doesn't define.
    Missing,
}

impl Entry<'_> {
    pub fn visibility(&self) -> u8 {
        self.other & 3
    }

    pub fn is_local(&self) -> bool {
        self.binding == elf::STB_LOCAL || [elf::STV_HIDDEN.0, elf::STV_INTERNAL.0].contains(&self.visibility())
    }

    pub fn is_defined(&self) -> bool {
        !matches!(self.definition, Definition::Undefined)
    }

    /// Whether others may use it by its name.
    pub fn is_exported(&self) -> bool {
        !self.is_local() && self.is_defined() && !matches!(self.definition, Definition::Linker(_))
    }

    pub fn target(&self) -> Target {
        match self.definition {
            Definition::Absolute(_) => Target::Absolute,
            Definition::Undefined if self.binding == elf::STB_LOCAL => Target::Missing,
            Definition::Undefined if self.binding == elf::STB_WEAK && self.visibility() != elf::STV_DEFAULT.0 => {
                Target::Zero
            }
            // A hidden one too, which a system linker refuses: the loader may well be told where it is.
            Definition::Undefined => Target::Outside,
            _ => Target::Inside,
        }
    }

    /// What wins over what.
    fn rank(&self) -> u8 {
        match self.definition {
            Definition::Undefined => 0,
            Definition::Common { .. } => 2,
            _ if self.binding == elf::STB_WEAK => 1,
            _ => 3,
        }
    }
}

impl<'a> Symbols<'a> {
    /// Resolves all names.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for a name that two objects define, UNSUPPORTED for symbols that can't be linked.
    pub fn resolve(inputs: &[Input<'a>], dispositions: &Dispositions) -> Result<Symbols<'a>> {
        let mut symbols =
            Symbols { entries: Vec::new(), by_object: Vec::new(), globals: HashMap::new(), finalize: None };
        let count = inputs.iter().map(|input| input.symbols.len()).sum::<usize>();
        symbols.entries = alloc::with_capacity(count + 1, "symbols")?;
        let mut none = Entry::new(0, &[], elf::STB_LOCAL);
        none.definition = Definition::Absolute(0);
        symbols.entries.push(none);
        for (object, (input, dispositions)) in inputs.iter().zip(dispositions).enumerate() {
            symbols.globals.try_reserve(input.symbols.len()).map_err(|_| Error::no_memory("symbols"))?;
            let mut by_object = alloc::with_capacity(input.symbols.len(), "symbols")?;
            for (index, symbol) in input.symbols.iter().enumerate() {
                by_object.push(if index == 0 { NONE } else { symbols.add(inputs, object, symbol, dispositions)? });
            }
            symbols.by_object.push(by_object);
        }
        symbols.define_linker_symbols(inputs, dispositions)?;
        Ok(symbols)
    }

    fn add(
        &mut self,
        inputs: &[Input<'a>],
        object: usize,
        symbol: &Symbol<'a>,
        dispositions: &[Disposition],
    ) -> Result<usize> {
        let name = item(inputs, object, "object")?.name;
        let refuse = |status, what: &str| {
            Err(failure(status, name, format_args!("symbol '{}': {what}", quote(symbol.name)).to_string()))
        };
        let mut entry = Entry::new(object, symbol.name, symbol.binding);
        (entry.kind, entry.other, entry.size) = (symbol.kind, symbol.other, symbol.size);
        entry.definition = match symbol.location {
            SymbolLocation::Undefined => Definition::Undefined,
            SymbolLocation::Absolute(value) => Definition::Absolute(value),
            SymbolLocation::Common { align, large } => Definition::Common { align, large },
            SymbolLocation::Section { index, offset } => match item(dispositions, index, "section")? {
                Disposition::Loaded => Definition::Section { section: index, offset },
                // Another object defines it, or none does.
                _ if symbol.binding != elf::STB_LOCAL => Definition::Undefined,
                _ => Definition::Section { section: index, offset },
            },
        };
        if symbol.name == b"__gnu_lto_slim" {
            return refuse(Status::Unsupported, "the object has no machine code; compile without -flto");
        }
        if entry.is_defined() && symbol.kind == elf::STT_GNU_IFUNC {
            return refuse(
                Status::Unsupported,
                "an indirect function (STT_GNU_IFUNC) can't be linked; choose by a pointer that a constructor sets",
            );
        }
        if symbol.binding == elf::STB_LOCAL {
            alloc::push(&mut self.entries, entry, "symbols")?;
            return Ok(self.entries.len() - 1);
        }
        if ![elf::STB_GLOBAL, elf::STB_WEAK, elf::STB_GNU_UNIQUE].contains(&symbol.binding) {
            return refuse(Status::Corrupt, &format!("binding: expected a known one, found {}", symbol.binding.0));
        }
        if symbol.name.is_empty() {
            return refuse(Status::Corrupt, "expected a name for a global symbol, found none");
        }
        if symbol.name.contains(&b'@') {
            return refuse(Status::Unsupported, "symbol versions can't be linked; leave .symver out");
        }
        // Locals don't find it, so that one map does for all objects.
        if let Some(&known) = self.globals.get(symbol.name) {
            let old = item_mut(&mut self.entries, known, "symbol")?;
            if old.rank() == 3 && entry.rank() == 3 {
                let first = item(inputs, old.object, "object")?.name;
                let what = format!("expected one definition, found another in object '{}'", quote(first.as_bytes()));
                return refuse(Status::InvalidArgument, &what);
            }
            old.merge(entry);
            return Ok(known);
        }
        self.globals.insert(symbol.name, self.entries.len());
        alloc::push(&mut self.entries, entry, "symbols")?;
        Ok(self.entries.len() - 1)
    }

    /// Gives what the linker defines to those who ask for it.
    fn define_linker_symbols(&mut self, inputs: &[Input<'a>], dispositions: &Dispositions) -> Result<()> {
        let mut sections = HashMap::new();
        for (input, dispositions) in inputs.iter().zip(dispositions) {
            sections.try_reserve(dispositions.len()).map_err(|_| Error::no_memory("sections"))?;
            for (section, disposition) in input.sections.iter().zip(dispositions) {
                if *disposition == Disposition::Loaded && is_identifier(section.name) {
                    sections.insert(section.name, ());
                }
            }
        }
        let mut handle = false;
        for entry in self.entries.iter_mut().filter(|entry| !entry.is_defined()) {
            let known = |name: &'a [u8]| sections.contains_key(name).then_some(name);
            let linker_symbol = match entry.name {
                b"_GLOBAL_OFFSET_TABLE_" => LinkerSymbol::Got,
                b"_DYNAMIC" => LinkerSymbol::Dynamic,
                b"__dso_handle" => LinkerSymbol::DsoHandle,
                b"__ehdr_start" => LinkerSymbol::ImageStart,
                b"_etext" => LinkerSymbol::TextEnd,
                b"_edata" => LinkerSymbol::DataEnd,
                b"__bss_start" => LinkerSymbol::BssStart,
                b"_end" => LinkerSymbol::End,
                name => {
                    let start = name.strip_prefix(b"__start_").and_then(known).map(LinkerSymbol::SectionStart);
                    let end = || name.strip_prefix(b"__stop_").and_then(known).map(LinkerSymbol::SectionEnd);
                    match start.or_else(end) {
                        Some(linker_symbol) => linker_symbol,
                        // Left to the loader.
                        None => continue,
                    }
                }
            };
            handle |= linker_symbol == LinkerSymbol::DsoHandle;
            entry.definition = Definition::Linker(linker_symbol);
        }
        if handle {
            // As the C compiler's own startup code does when a shared object goes.
            let entry = match self.globals.get(&b"__cxa_finalize"[..]) {
                Some(&known) => known,
                None => {
                    alloc::push(&mut self.entries, Entry::new(0, b"__cxa_finalize", elf::STB_WEAK), "symbols")?;
                    self.entries.len() - 1
                }
            };
            self.finalize = Some(entry);
        }
        Ok(())
    }

    /// What a relocation of this object names.
    ///
    /// # Errors
    ///
    /// CORRUPT if there is no such symbol.
    pub fn find(&self, object: usize, rela: &Rela, site: &Site<'_>) -> Result<usize> {
        let index = rela.r_sym(super::input::ORDER, false) as usize;
        let by_object = item(&self.by_object, object, "object")?;
        by_object
            .get(index)
            .copied()
            .ok_or_else(|| site.corrupt(format_args!("expected a symbol below {}, found {index}", by_object.len())))
    }
}

impl<'a> Entry<'a> {
    pub fn new(object: usize, name: &'a [u8], binding: SymbolBind) -> Entry<'a> {
        Entry {
            name,
            object,
            definition: Definition::Undefined,
            binding,
            kind: elf::STT_NOTYPE,
            other: 0,
            size: 0,
            address: 0,
            output: None,
            got_entry: None,
            plt_entry: None,
            imported: false,
        }
    }

    /// Takes in what another object says of the same name.
    fn merge(&mut self, new: Entry<'a>) {
        let strictest = match (self.visibility(), new.visibility()) {
            (0, other) | (other, 0) => other,
            (one, other) => one.min(other),
        };
        let weak = self.binding == elf::STB_WEAK && new.binding == elf::STB_WEAK;
        if let Definition::Common { align, large } = &mut self.definition
            && let Definition::Common { align: other, large: far } = new.definition
        {
            *align = other.max(*align);
            *large &= far;
            self.size = self.size.max(new.size);
        } else if new.rank() > self.rank() {
            *self = new;
        } else if !self.is_defined() {
            self.binding = if weak { elf::STB_WEAK } else { elf::STB_GLOBAL };
        }
        self.other = self.other & !3 | strictest;
    }
}

/// Names that C can use, for which linkers define `__start_` and `__stop_`.
pub(super) fn is_identifier(name: &[u8]) -> bool {
    let letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    name.first().is_some_and(letter) && name.iter().all(|byte| letter(byte) || byte.is_ascii_digit())
}
