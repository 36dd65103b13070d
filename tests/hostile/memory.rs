//! The bytes of loaded images. A model computes them from the file in the simplest way: the segments' bytes, then zeros, then the
//! relocations in order. They are compared with what the loader has mapped; none of the code runs.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::load::{SOMEWHERE, loaded, stored};
use artifact::format::module::Module;
use artifact::native::load::Code;

/// Larger images are not compared.
const MAX: u64 = 16 << 20;

fn number(bytes: &[u8], at: u64, len: usize) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let mut word = [0; 8];
    word[..len].copy_from_slice(bytes.get(at..at.checked_add(len)?)?);
    Some(u64::from_le_bytes(word))
}

struct Segment {
    address: u64,
    offset: u64,
    in_file: u64,
    writable: bool,
    memory: Vec<u8>,
}

/// The model of an image that is loaded with a bias.
struct Model<'i> {
    image: &'i [u8],
    segments: Vec<Segment>,
    bias: u64,
}

impl<'i> Model<'i> {
    /// Returns the loaded image, or none if it has something that the model doesn't.
    fn new(image: &'i [u8], bias: u64) -> Option<Model<'i>> {
        let mut model = Model { image, segments: Vec::new(), bias };
        let (table, count) = (number(image, 32, 8)?, number(image, 56, 2)?);
        let mut dynamic = None;
        for header in (0..count).map(|index| table.wrapping_add(index * 56)) {
            let word = |at| number(image, header.wrapping_add(at), 8);
            let (kind, flags) = (number(image, header, 4)?, number(image, header.wrapping_add(4), 4)?);
            let (offset, address, in_file, size) = (word(8)?, word(16)?, word(32)?, word(40)?);
            match kind {
                1 if size > MAX => return None,
                1 if size > 0 => {
                    let bytes = image.get(offset as usize..offset.checked_add(in_file)? as usize)?;
                    let mut memory = vec![0; size as usize];
                    memory.get_mut(..bytes.len())?.copy_from_slice(bytes);
                    model.segments.push(Segment { address, offset, in_file, writable: flags & 2 != 0, memory });
                }
                2 => dynamic = Some((address, in_file)),
                _ => {}
            }
        }
        if let Some((address, size)) = dynamic {
            model.relocate(model.offset_of(address)?, size / 16)?;
        }
        Some(model)
    }

    fn offset_of(&self, address: u64) -> Option<u64> {
        let holds = |segment: &&Segment| address.checked_sub(segment.address).is_some_and(|at| at < segment.in_file);
        self.segments.iter().find(holds).map(|segment| address - segment.address + segment.offset)
    }

    fn write(&mut self, address: u64, value: u64, add: bool) -> Option<()> {
        let segment = self.segments.iter_mut().filter(|segment| segment.writable).find_map(|segment| {
            let at = usize::try_from(address.checked_sub(segment.address)?).ok()?;
            segment.memory.get_mut(at..at.checked_add(8)?)
        })?;
        let old = if add { number(segment, 0, 8)? } else { 0 };
        segment.copy_from_slice(&old.wrapping_add(value).to_le_bytes());
        Some(())
    }

    fn relocate(&mut self, dynamic: u64, count: u64) -> Option<()> {
        let (image, bias) = (self.image, self.bias);
        let mut tags = [0; 40];
        for entry in (0..count).map(|index| dynamic + index * 16) {
            match number(image, entry, 8)? {
                0 => break,
                tag => {
                    let value = number(image, entry + 8, 8)?;
                    if let Some(slot) = tags.get_mut(tag as usize) {
                        *slot = value;
                    }
                }
            }
        }
        let [relr, relr_size] = [tags[36], tags[35]];
        let mut next = 0u64;
        for index in 0..relr_size / 8 {
            let word = number(image, self.offset_of(relr)? + index * 8, 8)?;
            if word & 1 == 0 {
                self.write(word, bias, true)?;
                next = word.wrapping_add(8);
                continue;
            }
            for bit in (0..63).filter(|bit| word >> (bit + 1) & 1 == 1) {
                self.write(next.wrapping_add(bit * 8), bias, true)?;
            }
            next = next.wrapping_add(63 * 8);
        }
        // Relocations that refer to undefined symbols are applied last.
        let mut last = Vec::new();
        for [table, size] in [[tags[7], tags[8]], [tags[23], tags[2]]] {
            for index in 0..size / 24 {
                let at = self.offset_of(table)? + index * 24;
                let (address, info, addend) =
                    (number(image, at, 8)?, number(image, at + 8, 8)?, number(image, at + 16, 8)?);
                let addend = match info as u32 {
                    0 => continue,
                    8 => {
                        self.write(address, bias.wrapping_add(addend), false)?;
                        continue;
                    }
                    1 => addend,
                    6 | 7 => 0,
                    _ => return None,
                };
                if info >> 32 == 0 {
                    self.write(address, addend, false)?;
                    continue;
                }
                let symbol = self.offset_of(tags[6])? + (info >> 32) * 24;
                let value = number(image, symbol + 8, 8)?;
                match number(image, symbol + 6, 2)? {
                    0 => last.push((address, (&raw const SOMEWHERE as u64).wrapping_add(addend))),
                    0xfff1 => self.write(address, value.wrapping_add(addend), false)?,
                    _ => self.write(address, bias.wrapping_add(value).wrapping_add(addend), false)?,
                }
            }
        }
        last.into_iter().try_for_each(|(address, value)| self.write(address, value, false))
    }
}

/// Returns what is added to the addresses of a module, if the symbols that it exports agree about that.
fn bias_of(code: &Code, module: usize, image: &[u8]) -> Option<u64> {
    let symbols = Module::parse(image).ok()?.symbols().ok()?;
    let mut biases = (1..symbols.count().min(50)).filter_map(|index| {
        let symbol = symbols.get(index).ok().filter(|symbol| symbol.is_address())?;
        Some((code.symbol(module, symbol.name)?.address as u64).wrapping_sub(symbol.value))
    });
    let first = biases.next().filter(|bias| bias % 4096 == 0)?;
    biases.all(|bias| bias == first).then_some(first)
}

/// Runs the target on one input: an image.
pub fn run(data: &[u8]) {
    if !cfg!(target_arch = "x86_64") {
        return; // The model knows the relocations of one machine.
    }
    let mut image = data.to_vec();
    if let Some(machine) = image.get_mut(18..20) {
        machine.copy_from_slice(&[62, 0]);
    }
    let Some(artifact) = stored(&image, 1 + data.len() % 2) else { return };
    let images: Vec<Vec<u8>> = (0..artifact.module_count())
        .map(|index| artifact.module_bytes(index).expect("just written").to_vec())
        .collect();
    let Ok(code) = loaded(artifact, false) else { return };
    let memory = File::open("/proc/self/mem").expect("/proc");
    for (module, image) in images.iter().enumerate().filter(|(_, image)| number(image, 16, 2) == Some(3)) {
        let Some(bias) = bias_of(&code, module, image) else { continue };
        let Some(model) = Model::new(image, bias) else { continue };
        for segment in &model.segments {
            let start = bias.wrapping_add(segment.address);
            let mut found = vec![0; segment.memory.len()];
            // If one symbol alone is wrong, there may be no memory, which an access would not survive.
            if memory.read_exact_at(&mut found, start).is_ok() {
                let differs = found.iter().zip(&segment.memory).position(|(found, expected)| found != expected);
                assert_eq!(differs, None, "module {module}, segment at {:#x}", segment.address);
            }
        }
    }
}
