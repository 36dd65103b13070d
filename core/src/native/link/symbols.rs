//! Symbol resolution: one entry for each global name of all objects, and one for each local symbol.

use std::collections::{HashMap, HashSet};
use std::num::NonZero;

use object::elf::{self, SymbolBind, SymbolType};

use super::input::{Input, Rela, Site, Symbol, SymbolLocation, failure};
use super::refusals::Refusals;
use super::select::{Disposition, Dispositions};
use super::startup::STARTUP;
use super::{item, item_mut, versions};
use crate::alloc;
use crate::error::{Error, Result, Status, quote};
use crate::format::module::Module;
use crate::native::machine::{EXIT_FUNCTIONS, Slot};

/// What `gcc -flto` defines in an object without machine code.
const SLIM: &[u8] = b"__gnu_lto_slim";
const NO_CODE: &str = "it contains the compiler's intermediate code and no machine code; compile without -flto";

/// Checks that an ELF file, object or not, has machine code. Damage is not found here.
///
/// # Errors
///
/// UNSUPPORTED if it has the compiler's intermediate code alone.
#[doc(hidden)] // for the command line
pub fn check_code(elf: &[u8]) -> Result<()> {
    let symbols = Module::parse(elf).and_then(|module| module.symbols());
    let slim = symbols.is_ok_and(|symbols| symbols.named(SLIM).is_ok());
    if slim { Err(Error::new(Status::Unsupported, NO_CODE)) } else { Ok(()) }
}

/// The entry of symbol 0, the null symbol, whose address is 0.
const NONE: usize = 0;

pub(super) struct Symbols<'a> {
    pub entries: Vec<Entry<'a>>,
    /// The entry of each symbol, by object and symbol index.
    by_object: Vec<Vec<usize>>,
    globals: HashMap<&'a [u8], usize>,
    /// The entry of `__cxa_finalize`, if the image has to run destructors.
    pub finalize: Option<usize>,
    /// The functions of [`EXIT_FUNCTIONS`] that objects refer to and don't define: the index in this array, and the entry of the
    /// function that each calls.
    pub exit_functions: Vec<(usize, usize)>,
}

#[derive(Clone)]
pub(super) struct Entry<'a> {
    pub name: &'a [u8],
    /// The object that defines it or, if none does, the first that refers to it.
    pub object: usize,
    pub definition: Definition<'a>,
    pub binding: SymbolBind,
    pub kind: SymbolType,
    /// `st_other`, with the strictest visibility of all objects.
    pub other: u8,
    pub size: u64,
    /// Whether it is thread-local; `None` if only relocations can tell.
    pub thread_local: Option<bool>,
    /// Its address in the image or, if it is thread-local, its offset in the TLS segment; 0 before layout.
    pub address: u64,
    /// The index of the output section that it is in, of which there are fewer than 2^16.
    pub output: Option<u16>,
    /// The number of the first word of each of its GOT slots, by [`Slot`]; the first word of the GOT has the number 1.
    pub slots: [Option<NonZero<u32>>; Slot::COUNT],
    /// The index of its PLT entry.
    pub plt_entry: Option<u32>,
    /// Whether a dynamic relocation refers to it.
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

/// A symbol that the linker defines.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkerSymbol<'a> {
    ImageStart,
    TextEnd,
    DataEnd,
    BssStart,
    End,
    Got,
    Dynamic,
    /// Any address of the image, by which the C++ runtime tells which image registered a destructor.
    DsoHandle,
    /// One of [`Symbols::exit_functions`], by its index.
    ExitFunction(usize),
    /// The start of the TLS segment, in code that counts from it.
    TlsStart,
    SectionStart(&'a [u8]),
    SectionEnd(&'a [u8]),
}

/// Where a symbol is, as far as it matters to relocations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// Somewhere in the image.
    Inside,
    /// An indirect function of the image: a function there returns its address when the image is loaded.
    Indirect,
    /// At a fixed address, which does not depend on where the image is loaded.
    Absolute,
    /// Undefined, weak and not of default visibility: its address is 0.
    Zero,
    /// Undefined: the loader finds it, in the host or elsewhere.
    Outside,
    /// Nowhere: a local symbol that its object does not define.
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

    /// Whether the image exports it.
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
            // Also if it is hidden, which system linkers refuse: the host may define it for the loader.
            Definition::Undefined => Target::Outside,
            Definition::Section { .. } if self.kind == elf::STT_GNU_IFUNC => Target::Indirect,
            _ => Target::Inside,
        }
    }

    /// Precedence of a definition: the higher rank wins.
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
    /// Resolves the symbols of all objects.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for duplicate symbols, UNSUPPORTED for symbol versions that cannot be linked, CORRUPT.
    pub fn resolve(inputs: &[Input<'a>], dispositions: &Dispositions, refusals: &mut Refusals) -> Result<Symbols<'a>> {
        let mut symbols = Symbols {
            entries: Vec::new(),
            by_object: Vec::new(),
            globals: HashMap::new(),
            finalize: None,
            exit_functions: Vec::new(),
        };
        let count = inputs.iter().map(|input| input.symbols.len()).sum::<usize>();
        symbols.entries = alloc::with_capacity(count + 1, "symbols")?;
        let mut none = Entry::new(0, &[], elf::STB_LOCAL);
        (none.definition, none.thread_local) = (Definition::Absolute(0), Some(false));
        symbols.entries.push(none);
        for (object, (input, dispositions)) in inputs.iter().zip(dispositions).enumerate() {
            let globals = input.symbols.iter().filter(|symbol| symbol.binding != elf::STB_LOCAL).count();
            symbols.globals.try_reserve(globals).map_err(|_| Error::no_memory("symbols"))?;
            let mut by_object = alloc::with_capacity(input.symbols.len(), "symbols")?;
            for (index, symbol) in input.symbols.iter().enumerate() {
                by_object.push(if index == 0 {
                    NONE
                } else {
                    symbols.add(inputs, object, symbol, dispositions, refusals)?
                });
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
        refusals: &mut Refusals,
    ) -> Result<usize> {
        let name = item(inputs, object, "object")?.name;
        let refuse = |status, what: &str| failure(status, name, format_args!("symbol '{}' {what}", quote(symbol.name)));
        let mut entry = Entry::new(object, symbol.name, symbol.binding);
        (entry.kind, entry.other, entry.size) = (symbol.kind, symbol.other, symbol.size);
        entry.definition = match symbol.location {
            SymbolLocation::Undefined => Definition::Undefined,
            SymbolLocation::Absolute(value) => Definition::Absolute(value),
            SymbolLocation::Common { align, large } => Definition::Common { align, large },
            SymbolLocation::Section { index, offset } => match item(dispositions, index, "section")? {
                // A refused section may turn out to be unused.
                Disposition::Loaded | Disposition::Refused => Definition::Section { section: index, offset },
                // Another object defines it, or none does.
                _ if symbol.binding != elf::STB_LOCAL => Definition::Undefined,
                _ => Definition::Section { section: index, offset },
            },
        };
        let section = match symbol.location {
            SymbolLocation::Section { index, .. } => {
                Some(item(&item(inputs, object, "object")?.sections, index, "section")?)
            }
            _ => None,
        };
        let is_tls = symbol.kind == elf::STT_TLS;
        entry.thread_local = match symbol.location {
            SymbolLocation::Undefined => is_tls.then_some(true),
            _ => Some(section.is_some_and(|section| section.is(elf::SHF_TLS))),
        };
        if entry.thread_local == Some(true) && symbol.kind != elf::STT_SECTION {
            entry.kind = elf::STT_TLS;
        }
        if symbol.name == SLIM {
            refusals.keep(Err(failure(Status::Unsupported, name, NO_CODE)))?;
        } else if entry.thread_local == Some(false) && is_tls {
            let why = "is thread-local, but not in a thread-local section; compile with -fno-common";
            refusals.keep(Err(refuse(Status::Unsupported, why)))?;
        } else if let Some(why) = unsupported(symbol, section.map_or(&[], |section| section.name)) {
            refusals.keep(Err(refuse(Status::Unsupported, why)))?;
        }
        if symbol.binding == elf::STB_LOCAL {
            alloc::push(&mut self.entries, entry, "symbols")?;
            return Ok(self.entries.len() - 1);
        }
        if ![elf::STB_GLOBAL, elf::STB_WEAK, elf::STB_GNU_UNIQUE].contains(&symbol.binding) {
            return Err(refuse(Status::Corrupt, &format!("has the unknown binding {}", symbol.binding.0)));
        }
        if symbol.name.is_empty() {
            return Err(refuse(Status::Corrupt, "is global: expected a name, found none"));
        }
        if let Some(&known) = self.globals.get(symbol.name) {
            let old = item_mut(&mut self.entries, known, "symbol")?;
            if old.rank() == 3 && entry.rank() == 3 {
                let message = format!(
                    "duplicate symbol '{}' in {} and {}",
                    quote(symbol.name),
                    quote(item(inputs, old.object, "object")?.name.as_bytes()),
                    quote(name.as_bytes()),
                );
                refusals.keep(Err(Error::new(Status::InvalidArgument, message)))?;
            }
            old.merge(entry);
            return Ok(known);
        }
        self.globals.insert(symbol.name, self.entries.len());
        alloc::push(&mut self.entries, entry, "symbols")?;
        Ok(self.entries.len() - 1)
    }

    /// Defines the linker's own symbols where objects refer to them.
    fn define_linker_symbols(&mut self, inputs: &[Input<'a>], dispositions: &Dispositions) -> Result<()> {
        let (mut sections, mut tls) = (HashMap::new(), false);
        for (input, dispositions) in inputs.iter().zip(dispositions) {
            sections.try_reserve(dispositions.len()).map_err(|_| Error::no_memory("sections"))?;
            for (section, disposition) in input.sections.iter().zip(dispositions) {
                if *disposition == Disposition::Loaded {
                    tls |= section.is(elf::SHF_TLS);
                    if is_identifier(section.name) && !section.is(elf::SHF_TLS) {
                        sections.insert(section.name, ());
                    }
                }
            }
        }
        let mut handle = false;
        let mut exit_functions: Vec<usize> = Vec::new();
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
                b"_TLS_MODULE_BASE_" if tls => LinkerSymbol::TlsStart,
                name => {
                    if let Some(function) = EXIT_FUNCTIONS.iter().position(|(own, _)| *own == name) {
                        entry.definition = Definition::Linker(LinkerSymbol::ExitFunction(exit_functions.len()));
                        entry.thread_local = Some(false);
                        alloc::push(&mut exit_functions, function, "symbols")?;
                        continue;
                    }
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
            entry.thread_local = Some(linker_symbol == LinkerSymbol::TlsStart);
        }
        for function in exit_functions {
            let (_, called) = item(&EXIT_FUNCTIONS, function, "function")?;
            let called = self.find_or_add(called, elf::STB_GLOBAL)?;
            alloc::push(&mut self.exit_functions, (function, called), "symbols")?;
            handle = true;
        }
        if handle {
            // The image calls it when it is unloaded, like crtbeginS.o in shared objects that the compiler links.
            self.finalize = Some(self.find_or_add(b"__cxa_finalize", elf::STB_WEAK)?);
        }
        Ok(())
    }

    /// Returns the entry of a global symbol that the linker itself refers to.
    fn find_or_add(&mut self, name: &'static [u8], binding: SymbolBind) -> Result<usize> {
        if let Some(&known) = self.globals.get(name) {
            return Ok(known);
        }
        alloc::push(&mut self.entries, Entry::new(0, name, binding), "symbols")?;
        Ok(self.entries.len() - 1)
    }

    /// Makes these symbols the only ones that the image exports; without any, nothing changes.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for a symbol that no object defines, or that is hidden.
    pub fn export_only(&mut self, names: &[&str]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let mut kept = HashSet::new();
        kept.try_reserve(names.len()).map_err(|_| Error::no_memory("symbols"))?;
        for name in names {
            let found = self.globals.get(name.as_bytes()).copied();
            let exported = |index: &usize| self.entries.get(*index).is_some_and(Entry::is_exported);
            let Some(index) = found.filter(exported) else {
                return Err(no_entry(name));
            };
            kept.insert(index);
        }
        for (index, entry) in self.entries.iter_mut().enumerate() {
            if entry.is_exported() && !kept.contains(&index) {
                entry.other = entry.other & !3 | elf::STV_HIDDEN.0;
            }
        }
        Ok(())
    }

    /// Returns the entry of the symbol that a relocation of this object refers to.
    ///
    /// # Errors
    ///
    /// CORRUPT if the object has no such symbol.
    pub fn find(&self, object: usize, rela: &Rela, site: &Site<'_>) -> Result<usize> {
        let index = rela.r_sym(super::input::ORDER, false) as usize;
        let by_object = item(&self.by_object, object, "object")?;
        by_object
            .get(index)
            .copied()
            .ok_or_else(|| site.corrupt(format_args!("has symbol index {index}, expected below {}", by_object.len())))
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
            thread_local: None,
            address: 0,
            output: None,
            slots: [None; Slot::COUNT],
            plt_entry: None,
            imported: false,
        }
    }

    /// Merges another object's symbol of the same name into this one.
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
            self.thread_local = self.thread_local.or(new.thread_local);
        }
        self.other = self.other & !3 | strictest;
    }
}

/// Returns why a symbol cannot be linked, which is in `section` if it is in any.
fn unsupported(symbol: &Symbol<'_>, section: &[u8]) -> Option<&'static str> {
    let is_startup = STARTUP.iter().any(|startup| startup.name == section && startup.function == symbol.name);
    match () {
        () if is_startup => {
            Some("begins a function that the linker begins by itself; leave out the C startup files (crti.o, crtn.o)")
        }
        () if symbol.binding == elf::STB_LOCAL => None,
        () => versions::refusal(symbol.name, !matches!(symbol.location, SymbolLocation::Undefined)),
    }
}

/// The error for an entry that no object exports.
pub(super) fn no_entry(name: &str) -> Error {
    let name = quote(name.as_bytes());
    let message = format!("entry '{name}': expected an object that defines and exports it, found none");
    Error::new(Status::InvalidArgument, message)
}

/// Returns whether a section name is a C identifier: for such sections linkers define `__start_` and `__stop_` symbols.
pub(super) fn is_identifier(name: &[u8]) -> bool {
    let letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    name.first().is_some_and(letter) && name.iter().all(|byte| letter(byte) || byte.is_ascii_digit())
}
