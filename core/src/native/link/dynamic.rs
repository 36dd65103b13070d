//! The tables that the loader reads: `.dynsym`, `.dynstr`, `.gnu.hash`, `.rela.dyn`, `.relr.dyn`, and `.dynamic`, which has their
//! addresses; `versions` makes those of symbol versions.

use object::LittleEndian;
use object::elf::{self, Dyn64, DynamicTag, RelocationType, Sym64, SymbolInfo, SymbolOther, SymbolSection};
use object::endian::{I64, U16, U32, U64};
use object::pod;

use super::input::{ORDER, Rela};
use super::layout::{Layout, Sizes};
use super::relr::{self, Packed};
use super::scan::Needs;
use super::sections::Synthetic;
use super::startup::STARTUP;
use super::symbols::{Entry, Symbols, Target};
use super::versions::{self, Versions};
use super::{defect, item, item_mut};
use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::limits::MAX_STRINGS;
use crate::native::image;
use crate::native::machine::Machine;

/// The dynamic tables, as far as they do not depend on addresses.
pub(super) struct Tables {
    /// The symbols of `.dynsym` from index 1: imported ones, then exported ones in the order of the hash table.
    order: Vec<usize>,
    /// The index of each symbol in `.dynsym`, or 0.
    index: Vec<u32>,
    names: Vec<u32>,
    pub strings: Vec<u8>,
    pub hash: Vec<u8>,
    pub versions: Versions,
    relocations: u64,
    /// The words of `.relr.dyn`, if relative relocations are packed.
    packed: Option<u64>,
    static_tls: bool,
}

/// A dynamic relocation.
#[derive(Clone, Copy)]
pub(super) struct DynamicReloc {
    pub kind: RelocationType,
    pub address: u64,
    /// Its symbol, if it has one.
    pub entry: Option<usize>,
    pub addend: i64,
}

/// Appends a name to a string table and returns its offset.
pub(super) fn add_name(strings: &mut Vec<u8>, parts: &[&[u8]]) -> Result<u32> {
    let at = strings.len();
    let len = parts.iter().map(|part| part.len()).sum::<usize>() + 1;
    if at + len > MAX_STRINGS {
        let message = format!("names of symbols: expected at most {MAX_STRINGS} bytes, found more");
        return Err(Error::new(Status::Limit, message));
    }
    strings.try_reserve(len).map_err(|_| Error::no_memory("names"))?;
    parts.iter().for_each(|part| strings.extend_from_slice(part));
    strings.push(0);
    Ok(at as u32)
}

/// Encodes a symbol table entry.
pub(super) fn symbol(entry: &Entry<'_>, name: u32, local: bool) -> Result<Sym64<LittleEndian>> {
    let binding = match entry.binding {
        _ if local => elf::STB_LOCAL,
        // Only a dynamic linker could make it unique in the process; here it is unique in the image.
        elf::STB_GNU_UNIQUE => elf::STB_GLOBAL,
        other => other,
    };
    let section = match entry.target() {
        Target::Inside | Target::Indirect => {
            let output = entry.output.ok_or_else(|| defect("a symbol of the image has no section there"))?;
            SymbolSection(output + 1)
        }
        Target::Absolute => elf::SHN_ABS,
        _ => elf::SHN_UNDEF,
    };
    let defined = entry.is_defined();
    let kind = match entry.thread_local {
        _ if defined => entry.kind,
        Some(true) => elf::STT_TLS,
        _ => elf::STT_NOTYPE,
    };
    Ok(Sym64 {
        st_name: U32::new(ORDER, name),
        st_info: SymbolInfo::new(binding, kind),
        // Dynamic linkers do not look up undefined symbols that are hidden.
        st_other: SymbolOther(if local || !defined { entry.other & !3 } else { entry.other }),
        st_shndx: U16::new(ORDER, section),
        st_value: U64::new(ORDER, if defined { entry.address } else { 0 }),
        st_size: U64::new(ORDER, if defined { entry.size } else { 0 }),
    })
}

impl Tables {
    pub fn new(symbols: &Symbols<'_>, needs: &Needs, machine: &Machine, pack: bool) -> Result<Tables> {
        let all = || symbols.entries.iter().enumerate();
        let imported = all().filter(|(_, entry)| entry.imported);
        let mut order = alloc::collect(imported.map(|(index, _)| index), "dynamic symbols")?;
        let first = order.len() + 1;
        let exported = all().filter(|(_, entry)| entry.is_exported());
        let exported =
            alloc::collect(exported.map(|(index, entry)| (image::gnu_hash(entry.name), index)), "dynamic symbols")?;
        let buckets = (exported.len() / 2).max(1) as u32;
        let exported = by_bucket(&exported, buckets)?;
        let table = gnu_hash(&exported, first as u32, buckets)?;
        order.try_reserve(exported.len()).map_err(|_| Error::no_memory("dynamic symbols"))?;
        order.extend(exported.iter().map(|(_, index)| index));

        let mut tables = Tables {
            index: alloc::zeroed(symbols.entries.len(), "dynamic symbols")?,
            names: alloc::with_capacity(order.len(), "dynamic symbols")?,
            strings: Vec::new(),
            hash: table,
            versions: Versions::default(),
            relocations: needs.words + needs.got.relocations(symbols, machine)?,
            packed: pack.then_some(0),
            static_tls: needs.got.has_static_tls(),
            order,
        };
        add_name(&mut tables.strings, &[])?;
        for (position, entry) in tables.order.iter().enumerate() {
            let (name, _) = versions::split(item(&symbols.entries, *entry, "symbol")?.name);
            tables.names.push(add_name(&mut tables.strings, &[name])?);
            *item_mut(&mut tables.index, *entry, "symbol")? = position as u32 + 1;
        }
        tables.versions = Versions::new(&tables.order, symbols, &mut tables.strings)?;
        Ok(tables)
    }

    /// Returns whether relative relocations are packed.
    pub fn packs(&self) -> bool {
        self.packed.is_some()
    }

    /// Takes note of which relocations are packed.
    pub fn pack(&mut self, packed: &Packed) {
        (self.packed, self.relocations) = (Some(packed.table.len() as u64), packed.rest.len() as u64);
    }

    /// Returns how many bytes each table takes.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            hash: self.hash.len() as u64,
            symbols: size_of::<Sym64<LittleEndian>>() as u64 * (self.order.len() as u64 + 1),
            strings: self.strings.len() as u64,
            versions: self.versions.of_symbols.len() as u64,
            needed: self.versions.needed.len() as u64,
            relocations: size_of::<Rela>() as u64 * self.relocations,
            packed: relr::WORD * self.packed.unwrap_or(0),
            // If relocations are packed there is room for the tags of both tables: the size of `.dynamic` must not depend on how many
            // are, since it may be between words that are packed.
            dynamic: 6
                + if self.packs() || self.relocations > 0 { 4 } else { 0 }
                + if self.packs() { 3 } else { 0 }
                + u64::from(self.static_tls)
                + if self.versions.libraries.is_empty() { 0 } else { 3 + self.versions.libraries.len() as u64 },
        }
    }

    /// Returns the bytes of `.dynsym`.
    pub fn symbols(&self, symbols: &Symbols<'_>) -> Result<Vec<u8>> {
        let mut bytes = alloc::with_capacity(self.sizes().symbols as usize, ".dynsym")?;
        bytes.resize(size_of::<Sym64<LittleEndian>>(), 0);
        for (entry, name) in self.order.iter().zip(&self.names) {
            let entry = item(&symbols.entries, *entry, "symbol")?;
            bytes.extend_from_slice(pod::bytes_of(&symbol(entry, *name, false)?));
        }
        Ok(bytes)
    }

    /// Returns the bytes of `.rela.dyn` and the number of relative relocations, which come first, as DT_RELACOUNT wants. Those of
    /// indirect functions come last: their resolvers may use what the others store.
    pub fn relocations(&self, mut found: Vec<DynamicReloc>, machine: &Machine) -> Result<(Vec<u8>, u64)> {
        for entry in found.iter().filter_map(|relocation| relocation.entry) {
            if *item(&self.index, entry, "symbol")? == 0 {
                return Err(defect("a dynamic relocation names a symbol that isn't in .dynsym"));
            }
        }
        // The null symbol for relocations without one.
        let index =
            |relocation: &DynamicReloc| relocation.entry.and_then(|entry| self.index.get(entry)).copied().unwrap_or(0);
        alloc::sort(&mut found, ".rela.dyn", |relocation| {
            let last = relocation.kind == machine.indirect;
            (relocation.kind != machine.relative, last, index(relocation), relocation.address)
        })?;
        let relative = found.iter().filter(|relocation| relocation.kind == machine.relative).count();
        let mut bytes = alloc::with_capacity(found.len() * size_of::<Rela>(), ".rela.dyn")?;
        for relocation in &found {
            let stored = Rela {
                r_offset: U64::new(ORDER, relocation.address),
                r_info: Rela::r_info(ORDER, false, index(relocation), relocation.kind),
                r_addend: I64::new(ORDER, relocation.addend),
            };
            bytes.extend_from_slice(pod::bytes_of(&stored));
        }
        Ok((bytes, relative as u64))
    }

    /// Returns the bytes of `.dynamic`.
    pub fn dynamic(&self, layout: &Layout<'_>, relative: u64) -> Result<Vec<u8>> {
        let address = |synthetic| layout.synthetic_address(synthetic);
        let sizes = self.sizes();
        let mut list: Vec<(DynamicTag, u64)> = Vec::new();
        list.extend(self.versions.libraries.iter().map(|name| (elf::DT_NEEDED, u64::from(*name))));
        for startup in STARTUP.iter().filter(|startup| layout.synthetic(startup.start).is_some()) {
            list.push((startup.tag, address(startup.start)?));
        }
        for (name, tag, size) in [
            (&b".init_array"[..], elf::DT_INIT_ARRAY, elf::DT_INIT_ARRAYSZ),
            (b".fini_array", elf::DT_FINI_ARRAY, elf::DT_FINI_ARRAYSZ),
        ] {
            if let Some(array) = layout.named(name) {
                list.extend([(tag, array.address), (size, array.size)]);
            }
        }
        list.extend([
            (elf::DT_GNU_HASH, address(Synthetic::GnuHash)?),
            (elf::DT_STRTAB, address(Synthetic::DynStr)?),
            (elf::DT_SYMTAB, address(Synthetic::DynSym)?),
            (elf::DT_STRSZ, sizes.strings),
            (elf::DT_SYMENT, size_of::<Sym64<LittleEndian>>() as u64),
        ]);
        if sizes.relocations > 0 {
            list.extend([
                (elf::DT_RELA, address(Synthetic::RelaDyn)?),
                (elf::DT_RELASZ, sizes.relocations),
                (elf::DT_RELAENT, size_of::<Rela>() as u64),
                (elf::DT_RELACOUNT, relative),
            ]);
        }
        if sizes.packed > 0 {
            list.extend([
                (elf::DT_RELR, address(Synthetic::RelrDyn)?),
                (elf::DT_RELRSZ, sizes.packed),
                (elf::DT_RELRENT, relr::WORD),
            ]);
        }
        if !self.versions.libraries.is_empty() {
            list.extend([
                (elf::DT_VERSYM, address(Synthetic::Versions)?),
                (elf::DT_VERNEED, address(Synthetic::NeededVersions)?),
                (elf::DT_VERNEEDNUM, self.versions.libraries.len() as u64),
            ]);
        }
        if self.static_tls {
            list.push((elf::DT_FLAGS, elf::DF_STATIC_TLS.0));
        }
        list.push((elf::DT_NULL, 0));
        if self.packs() {
            let room = layout.synthetic_size(Synthetic::Dynamic) as usize / size_of::<Dyn64<LittleEndian>>();
            list.resize(list.len().max(room), (elf::DT_NULL, 0));
        }
        let entry = |(tag, value)| Dyn64 { d_tag: I64::new(ORDER, tag), d_val: U64::new(ORDER, value) };
        Ok(list.into_iter().flat_map(|pair| pod::bytes_of(&entry(pair)).to_vec()).collect())
    }
}

/// Sorts exported symbols by their bucket, in linear time: counts those of each bucket, and so knows where each bucket starts.
fn by_bucket(exported: &[(u32, usize)], buckets: u32) -> Result<Vec<(u32, usize)>> {
    let bucket = |hash: u32| (hash % buckets) as usize;
    let mut next = alloc::zeroed::<u32>(buckets as usize + 1, ".gnu.hash")?;
    for (hash, _) in exported {
        *item_mut(&mut next, bucket(*hash) + 1, "bucket")? += 1;
    }
    let mut start = 0;
    for count in &mut next {
        start += *count;
        *count = start;
    }
    let mut sorted = alloc::copy(exported, "dynamic symbols")?;
    for symbol in exported {
        let next = item_mut(&mut next, bucket(symbol.0), "bucket")?;
        *item_mut(&mut sorted, *next as usize, "dynamic symbol")? = *symbol;
        *next += 1;
    }
    Ok(sorted)
}

/// Returns the bytes of `.gnu.hash`: a Bloom filter, which ends most lookups of missing names, the buckets, and the hashes of
/// each bucket's symbols, of which the last has bit 0 set.
fn gnu_hash(exported: &[(u32, usize)], first: u32, buckets: u32) -> Result<Vec<u8>> {
    /// The filter's second hash is the first one shifted right by this.
    const SHIFT: u32 = 26;
    // The filter has about twelve bits per name; each name sets two.
    let words = (exported.len() * 12 / 64).max(1).next_power_of_two();
    let mut filter = alloc::zeroed::<u64>(words, ".gnu.hash")?;
    let mut starts = alloc::zeroed::<u32>(buckets as usize, ".gnu.hash")?;
    let mut chain = alloc::with_capacity(exported.len(), ".gnu.hash")?;
    for (position, (hash, _)) in exported.iter().enumerate() {
        let word = item_mut(&mut filter, *hash as usize / 64 % words, "word of the Bloom filter")?;
        *word |= 1 << (hash % 64) | 1 << ((hash >> SHIFT) % 64);
        let bucket = hash % buckets;
        let start = item_mut(&mut starts, bucket as usize, "bucket")?;
        if *start == 0 {
            *start = first + position as u32;
        }
        let last = exported.get(position + 1).is_none_or(|(next, _)| next % buckets != bucket);
        chain.push(hash & !1 | u32::from(last));
    }
    let mut bytes = alloc::with_capacity(16 + 8 * words + 4 * (starts.len() + chain.len()), ".gnu.hash")?;
    for word in [buckets, first, words as u32, SHIFT] {
        bytes.extend(word.to_le_bytes());
    }
    filter.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
    starts.iter().chain(&chain).for_each(|word| bytes.extend(word.to_le_bytes()));
    Ok(bytes)
}
