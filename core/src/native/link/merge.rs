//! Merges equal constants and strings: sections that say that their entries may be merged (SHF_MERGE) become pools, in which each entry
//! occurs once.

use std::collections::HashMap;
use std::ops::Range;

use object::elf::{self, SymbolType};

use super::input::{Input, ORDER, Section, SymbolLocation, kind};
use super::sections::output_name;
use super::select::{Disposition, Dispositions};
use super::symbols::is_identifier;
use super::{defect, item, item_mut};
use crate::alloc;
use crate::error::{Error, Result};
use crate::format::align_up;
use crate::native::machine::RelExpr;

/// The largest alignment of sections that are merged. Sections with a larger one, which compilers do not make, could have more padding
/// than contents.
const MAX_ALIGN: u64 = 64;

/// All pools, and where in them the entries of each section are.
pub(super) struct Merged {
    pub pools: Vec<Pool>,
    members: Vec<Member>,
    /// The member that each section is, by object and section index. Objects without members have an empty list.
    by_object: Vec<Vec<Option<u32>>>,
}

/// Different entries, in the order of their first occurrence.
pub(super) struct Pool {
    /// The first section whose entries it has: the indexes of the object and of the section.
    pub first: (usize, usize),
    pub size: u64,
    pub align: u64,
    pub entries: Vec<Entry>,
}

pub(super) struct Entry {
    /// The section that has its bytes: the indexes of the object and of the section.
    place: (usize, usize),
    /// Where in the section they are.
    range: Range<usize>,
    /// Its offset in the pool.
    pub at: u64,
    align: u64,
}

impl Entry {
    pub fn bytes<'l>(&self, inputs: &'l [Input<'_>]) -> Result<&'l [u8]> {
        let section = item(&item(inputs, self.place.0, "object")?.sections, self.place.1, "section")?;
        section.data.get(self.range.clone()).ok_or_else(|| defect("an entry of a merged section went away"))
    }
}

/// A section whose entries are in a pool.
struct Member {
    /// The indexes of the object and of the section.
    place: (usize, usize),
    pool: usize,
    /// The offset of each entry in the section, and its index in the pool.
    entries: Vec<(u32, u32)>,
}

/// Sections are merged if they agree in this: output section, whether it is a debug section, flags, entry size.
type Kind<'a> = (&'a [u8], bool, u64, u64);

impl Merged {
    /// Collects the entries of all sections that are linked and can be merged; with `unused`, without those in loaded sections that
    /// nothing refers to.
    ///
    /// # Errors
    ///
    /// NO_MEMORY.
    pub fn collect(inputs: &[Input<'_>], dispositions: &Dispositions, unused: bool) -> Result<Merged> {
        let no_memory = |_| Error::no_memory("merged sections");
        let mut merged = Merged {
            pools: Vec::new(),
            members: Vec::new(),
            by_object: alloc::with_capacity(inputs.len(), "merged sections")?,
        };
        let mut known = HashMap::<Kind<'_>, usize>::new();
        let mut indexes = Vec::<HashMap<&[u8], u32>>::new();
        for (object, (input, of)) in inputs.iter().zip(dispositions).enumerate() {
            let candidates = candidates(input, of, unused)?;
            let sections = if candidates.is_empty() { 0 } else { input.sections.len() };
            let mut members = alloc::collect((0..sections).map(|_| None), "merged sections")?;
            for candidate in candidates {
                let place = candidate.section;
                let section = item(&input.sections, place, "section")?;
                let debug = of.get(place) == Some(&Disposition::Debug);
                let flags = section.flags & (elf::SHF_ALLOC.0 | elf::SHF_STRINGS.0);
                let kind = (output_name(section, false), debug, flags, section.entry);
                known.try_reserve(1).map_err(no_memory)?;
                let pool = *known.entry(kind).or_insert(merged.pools.len());
                if pool == merged.pools.len() {
                    let first = (object, place);
                    alloc::push(
                        &mut merged.pools,
                        Pool { first, size: 0, align: 1, entries: Vec::new() },
                        "merged sections",
                    )?;
                    alloc::push(&mut indexes, HashMap::new(), "merged sections")?;
                }
                let entries = &mut item_mut(&mut merged.pools, pool, "pool")?.entries;
                let index = item_mut(&mut indexes, pool, "pool")?;
                let mut member = Member { place: (object, place), pool, entries: Vec::new() };
                for (start, bytes) in split(section) {
                    if !candidate.is_used(start, bytes.len() as u64) {
                        continue;
                    }
                    let align = section.align.min(1 << start.trailing_zeros().min(63));
                    index.try_reserve(1).map_err(no_memory)?;
                    let entry = *index.entry(bytes).or_insert(entries.len() as u32);
                    match entries.get_mut(entry as usize) {
                        Some(known) => known.align = known.align.max(align),
                        None => {
                            let range = start as usize..start as usize + bytes.len();
                            let place = (object, place);
                            alloc::push(entries, Entry { place, range, at: 0, align }, "merged sections")?;
                        }
                    }
                    alloc::push(&mut member.entries, (start as u32, entry), "merged sections")?;
                }
                *item_mut(&mut members, place, "section")? = Some(merged.members.len() as u32);
                alloc::push(&mut merged.members, member, "merged sections")?;
            }
            merged.by_object.push(members);
        }
        for pool in &mut merged.pools {
            for entry in &mut pool.entries {
                entry.at = align_up(pool.size, entry.align).unwrap_or(u64::MAX);
                pool.size = entry.at.saturating_add(entry.range.len() as u64);
                pool.align = pool.align.max(entry.align);
            }
        }
        Ok(merged)
    }

    fn member(&self, (object, section): (usize, usize)) -> Option<&Member> {
        let index = (*self.by_object.get(object)?.get(section)?)?;
        self.members.get(index as usize)
    }

    /// Returns the index of the pool that has a section's entries, if it is merged.
    pub fn pool_of(&self, place: (usize, usize)) -> Option<usize> {
        self.member(place).map(|member| member.pool)
    }

    /// Returns the sections that are merged, each with the index of its pool.
    pub fn members(&self) -> impl Iterator<Item = ((usize, usize), usize)> {
        self.members.iter().map(|member| (member.place, member.pool))
    }

    /// Returns the offset in the pool of what is at an offset of a section; for a section that is not merged, the offset.
    pub fn offset_of(&self, place: (usize, usize), offset: u64) -> Result<u64> {
        let Some(member) = self.member(place) else { return Ok(offset) };
        let after = member.entries.partition_point(|(start, _)| u64::from(*start) <= offset);
        let Some((start, entry)) = member.entries.get(after.saturating_sub(1)).copied() else {
            // Nothing refers to any entry.
            return Ok(0);
        };
        let pool = item(&self.pools, member.pool, "pool")?;
        let entry = item(&pool.entries, entry as usize, "entry of a pool")?;
        Ok(entry.at.saturating_add(offset.saturating_sub(start.into())))
    }

    /// Returns the offset in the pool of what a relocation means by a symbol's offset in a section and an addend, and what is added to
    /// it. With the section's own symbol, the addend says which entry is meant.
    pub fn target(&self, place: (usize, usize), kind: SymbolType, offset: u64, addend: i64) -> Result<(u64, i64)> {
        let by_addend = kind == elf::STT_SECTION && self.pool_of(place).is_some();
        let (offset, addend) = if by_addend { (offset.saturating_add_signed(addend), 0) } else { (offset, addend) };
        Ok((self.offset_of(place, offset)?, addend))
    }
}

/// A section that can be merged.
struct Candidate {
    section: usize,
    /// The offsets in it that are referred to, sorted; `None` if all of its entries are linked.
    uses: Option<Vec<u64>>,
}

impl Candidate {
    fn is_used(&self, start: u64, len: u64) -> bool {
        let next = |uses: &Vec<u64>| uses.get(uses.partition_point(|at| *at < start)).copied();
        self.uses.as_ref().is_none_or(|uses| next(uses).is_some_and(|at| at < start + len))
    }
}

/// Returns an object's sections that can be merged. With `unused`, they have their uses.
fn candidates(input: &Input<'_>, dispositions: &[Disposition], unused: bool) -> Result<Vec<Candidate>> {
    let mut can = alloc::zeroed::<bool>(input.sections.len(), "sections")?;
    for ((section, disposition), can) in input.sections.iter().zip(dispositions).zip(&mut can) {
        *can = matches!(disposition, Disposition::Loaded | Disposition::Debug) && is_mergeable(section);
    }
    if !can.contains(&true) {
        return Ok(Vec::new());
    }
    let mut uses = Vec::<(usize, u64)>::new();
    let mut add_use = |index: usize, offset: u64| {
        let size = input
            .sections
            .get(index)
            .filter(|section| unused && section.is(elf::SHF_ALLOC))
            .map(|section| section.size);
        // The end of a section belongs to its last entry.
        size.map_or(Ok(()), |size| {
            alloc::push(&mut uses, (index, offset.min(size.saturating_sub(1))), "merged sections")
        })
    };
    for symbol in &input.symbols {
        // `.symtab` and other objects refer to it.
        if let SymbolLocation::Section { index, offset } = symbol.location
            && symbol.kind != elf::STT_SECTION
            && (symbol.binding != elf::STB_LOCAL || !symbol.name.starts_with(b".L"))
            && can.get(index) == Some(&true)
        {
            add_use(index, offset)?;
        }
    }
    for (section, disposition) in input.sections.iter().zip(dispositions) {
        if !matches!(disposition, Disposition::Loaded | Disposition::EhFrame | Disposition::Debug) {
            continue;
        }
        for rela in section.relocations.iter() {
            let Some(symbol) = input.symbols.get(rela.r_sym(ORDER, false) as usize) else { continue };
            let SymbolLocation::Section { index, mut offset } = symbol.location else { continue };
            let Some(can) = can.get_mut(index).filter(|can| **can) else { continue };
            if symbol.kind == elf::STT_SECTION {
                // With a section's symbol, the addend says which entry is meant; other expressions may have a bias in it.
                let howto = (input.machine.howto)(kind(rela));
                let exact = matches!(
                    howto.map(|howto| howto.expr),
                    Some(RelExpr::Absolute | RelExpr::PagePc | RelExpr::PageOffset | RelExpr::GotRel | RelExpr::None)
                );
                let size = input.sections.get(index).map_or(0, |section| section.size);
                let at = offset.checked_add_signed(rela.r_addend.get(ORDER)).filter(|at| exact && *at < size);
                *can = at.is_some();
                offset = at.unwrap_or(offset);
            }
            add_use(index, offset)?;
        }
    }
    alloc::sort(&mut uses, "merged sections", |found| *found)?;
    let candidate = |(section, _)| {
        let is_loaded = dispositions.get(section) == Some(&Disposition::Loaded);
        let of =
            uses.partition_point(|(other, _)| *other < section)..uses.partition_point(|(other, _)| *other <= section);
        let offsets = || uses.get(of).unwrap_or_default().iter().map(|(_, offset)| *offset);
        let uses = (unused && is_loaded).then(|| alloc::collect(offsets(), "merged sections")).transpose()?;
        Ok(Candidate { section, uses })
    };
    alloc::try_collect(can.iter().enumerate().filter(|(_, can)| **can).map(candidate), "sections")
}

fn is_mergeable(section: &Section<'_>) -> bool {
    let (entry, strings) = (section.entry, section.is(elf::SHF_STRINGS));
    let whole = entry != 0 && section.size.is_multiple_of(entry) && section.data.len() as u64 == section.size;
    let fits = match strings {
        true => [1, 2, 4].contains(&entry) && terminated(&section.data, entry as usize),
        false => section.align <= entry && entry.is_multiple_of(section.align),
    };
    let other = [elf::SHF_WRITE, elf::SHF_EXECINSTR, elf::SHF_TLS, elf::SHF_LINK_ORDER];
    let other = other.into_iter().any(|flag| section.is(flag));
    section.is(elf::SHF_MERGE)
        && !other
        && whole
        && fits
        && (1..=u64::from(u32::MAX)).contains(&section.size)
        && section.align <= MAX_ALIGN
        && section.relocations.is_empty()
        // The distance between __start_ and __stop_ of such a section would change.
        && !is_identifier(section.name)
}

fn terminated(data: &[u8], entry: usize) -> bool {
    data.rchunks_exact(entry).next().is_some_and(|last| last.iter().all(|byte| *byte == 0))
}

/// Returns the entries of a mergeable section with their offsets.
fn split<'l>(section: &'l Section<'_>) -> impl Iterator<Item = (u64, &'l [u8])> {
    let (entry, strings) = (section.entry as usize, section.is(elf::SHF_STRINGS));
    let (mut rest, mut start) = (&*section.data, 0);
    std::iter::from_fn(move || {
        let len = match (strings, entry) {
            (false, _) => entry,
            (true, 1) => rest.iter().position(|byte| *byte == 0)? + 1,
            (true, _) => (rest.chunks_exact(entry).position(|unit| unit.iter().all(|byte| *byte == 0))? + 1) * entry,
        };
        let (bytes, after) = rest.split_at_checked(len)?;
        let found = (start, bytes);
        (rest, start) = (after, start + len as u64);
        Some(found)
    })
}
