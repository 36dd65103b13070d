//! Veneers: code within reach of branches that jumps to a target out of their reach. The psABI of aarch64 (AAELF64, Call and Jump
//! relocations) lets linkers insert them: a call may change x16 and x17.
//!
//! Code is divided into groups, each of which ends with an island of veneers. Within a group every branch reaches everything.

use std::collections::HashMap;

use object::elf;

use super::input::{Input, ORDER, kind};
use super::sections::{Class, Content, OutputSection};
use super::symbols::{Definition, Symbols, Target};
use super::{item, item_mut};
use crate::alloc;
use crate::error::{Error, Result};
use crate::format::align_up;
use crate::native::machine::Machine;

/// No image with less code than this needs veneers: branches reach 128 MiB.
const NEAR_CODE: u64 = 120 << 20;

/// The size of a group, other than one that consists of a single larger section.
const GROUP: u64 = 64 << 20;

/// A symbol's entry and the addend: what a veneer jumps to.
pub(super) type Destination = (usize, i64);

#[derive(Default)]
pub(super) struct Island {
    pub destinations: Vec<Destination>,
    index: HashMap<Destination, usize>,
    /// Its address and file offset, once the layout is known.
    pub address: u64,
    pub offset: u64,
}

#[derive(Default)]
pub(super) struct Veneers {
    /// In ascending order of addresses.
    pub islands: Vec<Island>,
    /// The size of a veneer.
    size: u64,
}

impl Veneers {
    /// Divides code into groups and inserts the islands that their branches may need. Only the layout tells which they do need.
    pub fn insert(
        outputs: &mut [OutputSection<'_>],
        inputs: &[Input<'_>],
        symbols: &Symbols<'_>,
        machine: &Machine,
    ) -> Result<Veneers> {
        let Some(template) = &machine.veneer else { return Ok(Veneers::default()) };
        let chunks = || outputs.iter().filter(|output| output.class == Class::Text).flat_map(|output| &output.chunks);
        if chunks().fold(0u64, |sum, chunk| sum.saturating_add(chunk.size)) < NEAR_CODE {
            return Ok(Veneers::default());
        }
        // The group of each section, and where each group ends: an output section and a number of its chunks.
        let mut groups: HashMap<(usize, usize), usize> = HashMap::new();
        groups.try_reserve(chunks().count()).map_err(|_| Error::no_memory("veneers"))?;
        let (mut ends, mut size): (Vec<(usize, usize)>, u64) = (Vec::new(), 0);
        for (output, section) in outputs.iter().enumerate().filter(|(_, output)| output.class == Class::Text) {
            for (index, chunk) in section.chunks.iter().enumerate() {
                let end = align_up(size, chunk.align).and_then(|start| start.checked_add(chunk.size));
                match (end.filter(|end| *end <= GROUP), ends.last_mut()) {
                    (Some(end), Some(last)) => (size, *last) = (end, (output, index + 1)),
                    _ => {
                        size = chunk.size;
                        alloc::push(&mut ends, (output, index + 1), "veneers")?;
                    }
                }
                if let Content::Section { object, section } = chunk.content {
                    groups.insert((object, section), ends.len() - 1);
                }
            }
        }
        let mut veneers = Veneers { islands: Vec::new(), size: template.code.len() as u64 };
        for _ in &ends {
            alloc::push(&mut veneers.islands, Island::default(), "veneers")?;
        }
        for (object, input) in inputs.iter().enumerate() {
            for (index, section) in
                input.sections.iter().enumerate().filter(|(_, section)| section.is(elf::SHF_EXECINSTR))
            {
                let Some(group) = groups.get(&(object, index)) else { continue };
                let island = item_mut(&mut veneers.islands, *group, "island")?;
                let branches = section.relocations.iter();
                for rela in
                    branches.filter(|rela| (machine.howto)(kind(rela)).is_some_and(|howto| howto.is_far_branch()))
                {
                    let entry = symbols.find(object, rela, &input.site(section, rela))?;
                    let target = item(&symbols.entries, entry, "symbol")?;
                    let near = match target.definition {
                        // A branch to an indirect function goes to its PLT entry.
                        Definition::Section { section, .. } if target.target() == Target::Inside => {
                            groups.get(&(target.object, section)) == Some(group)
                        }
                        _ => false,
                    };
                    if !near {
                        island.add((entry, rela.r_addend.get(ORDER)))?;
                    }
                }
            }
        }
        // From the last on, so that the places of the others stay.
        for (index, (output, at)) in ends.into_iter().enumerate().rev() {
            let count = item(&veneers.islands, index, "island")?.destinations.len();
            if count > 0 {
                let size = veneers.size * count as u64;
                item_mut(outputs, output, "output section")?.insert(at, Content::Island { index }, size, 4)?;
            }
        }
        Ok(veneers)
    }

    /// Returns the address of the veneer for a branch at `place`; `None` if there is none.
    pub fn find(&self, place: u64, destination: Destination) -> Option<u64> {
        let next = self.islands.iter().find(|island| !island.destinations.is_empty() && island.address > place)?;
        next.index.get(&destination).map(|index| next.address + self.size * *index as u64)
    }
}

impl Island {
    fn add(&mut self, destination: Destination) -> Result<()> {
        self.index.try_reserve(1).map_err(|_| Error::no_memory("veneers"))?;
        let next = self.destinations.len();
        if *self.index.entry(destination).or_insert(next) == next {
            alloc::push(&mut self.destinations, destination, "veneers")?;
        }
        Ok(())
    }
}
