//! Instructions that put an address into a register, and what replaces them. Their encodings are in the Arm Architecture Reference
//! Manual (A64): MOVZ, MOVK, ADRP, ADD (immediate), LDR (immediate, literal), B, NOP. AAELF64 has the relocations.

use super::aarch64::Immediate;
use super::{AddressFrom, Field, Howto, RelExpr, Rewrite, RewrittenField, Slot};

const NOP: u32 = 0xd503_201f;
const ADRP: u32 = 0x9000_0000;
/// add xd, xn, #0
const ADD: u32 = 0x9100_0000;
/// ldr xd, [xn]
const LDR: u32 = 0xf940_0000;
/// movz xd, #0
const MOVZ: u32 = 0xd280_0000;
/// movk xd, #0; the shift in units of 16 bits is in bits 21 and 22.
const MOVK: u32 = 0xf280_0000;
/// ldr xd, .+8
const LDR_LITERAL: u32 = 0x5800_0040;
/// b .+12
const SKIP_WORD: u32 = 0x1400_0003;

/// How far apart the instructions of a group may be: compilers put others between them.
const GROUP: usize = 64;

/// Replaces what puts an address into a register by adrp and add, or by adrp and a load from the GOT.
pub fn rewrite(code: &[u8], at: usize, howto: Howto, from: AddressFrom) -> Option<Rewrite> {
    match (howto.expr, howto.field, from) {
        (RelExpr::Absolute, Field::Immediate(Immediate::Move { shift, .. }), _) => {
            let register = group(code, at, (shift / 16) as usize)?;
            Some(match shift {
                0 => one(page(ADRP | register, 0, from)),
                16 => one(in_page(register, register, 0, from)),
                _ => Rewrite::new(0, &NOP.to_le_bytes(), &[]),
            })
        }
        // Cranelift jumps over the address, which it keeps in the code: ldr xd, address; b over; address: .quad symbol; over:
        (RelExpr::Absolute, Field::Bytes(8, _), _) => {
            let load = instruction(code, at.checked_sub(8)?)?;
            let is_it = load & !0x1f == LDR_LITERAL && instruction(code, at.checked_sub(4)?)? == SKIP_WORD;
            let register = load & 0x1f;
            let ((adrp, first), (second, last)) =
                (page(ADRP | register, 0, from), in_page(register, register, 4, from));
            let code = [adrp, second, NOP, NOP].map(u32::to_le_bytes);
            is_it.then(|| Rewrite::new(8, code.as_flattened(), &[first, last]))
        }
        // adrp and add of a symbol that isn't at a known distance.
        (RelExpr::PagePc, _, AddressFrom::Got) => {
            let adrp = instruction(code, at).filter(|adrp| adrp & 0x9f00_0000 == ADRP)?;
            Some(one(page(adrp, 0, from)))
        }
        (RelExpr::PageOffset, _, AddressFrom::Got) => {
            let add = instruction(code, at).filter(|add| add & !0x3ff == ADD)?;
            Some(one(in_page(add & 0x1f, add >> 5 & 0x1f, 0, from)))
        }
        _ => None,
    }
}

fn one((instruction, field): (u32, RewrittenField)) -> Rewrite {
    Rewrite::new(0, &instruction.to_le_bytes(), &[field])
}

/// adrp of the symbol or of its GOT entry.
fn page(adrp: u32, at: usize, from: AddressFrom) -> (u32, RewrittenField) {
    let expr = if from == AddressFrom::Got { RelExpr::GotPagePc(Slot::Address) } else { RelExpr::PagePc };
    let howto = Howto { expr, field: Field::Immediate(Immediate::Page(true)) };
    (adrp, RewrittenField { at, howto, addend: 0 })
}

/// add of the symbol's offset in its page, or ldr of the GOT entry.
fn in_page(register: u32, base: u32, at: usize, from: AddressFrom) -> (u32, RewrittenField) {
    let (opcode, expr, scale) = match from {
        AddressFrom::Got => (LDR, RelExpr::GotPageOffset(Slot::Address), 3),
        AddressFrom::Distance => (ADD, RelExpr::PageOffset, 0),
    };
    let howto = Howto { expr, field: Field::Immediate(Immediate::Offset(scale)) };
    (opcode | base << 5 | register, RewrittenField { at, howto, addend: 0 })
}

fn instruction(code: &[u8], at: usize) -> Option<u32> {
    code.get(at..at.checked_add(4)?)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// Returns the register that a group of movz and three movk puts an address into: 16 bits each from the lowest on, whose
/// `part`-th instruction is at `at`. They may be among other instructions, but none that jumps.
fn group(code: &[u8], at: usize, part: usize) -> Option<u32> {
    let register = instruction(code, at)? & 0x1f;
    let is_part = |at: usize, part: usize| {
        let opcode = if part == 0 { MOVZ } else { MOVK | (part as u32) << 21 };
        instruction(code, at) == Some(opcode | register)
    };
    // Goes to the next part in one direction.
    let follow = |from: usize, part: usize, forward: bool| {
        let mut steps = (1..=GROUP).map_while(|step| {
            let distance = 4 * step;
            let at = if forward { from.checked_add(distance) } else { from.checked_sub(distance) }?;
            instruction(code, at).filter(|found| !is_jump(*found)).map(|_| at)
        });
        steps.find(|at| is_part(*at, part))
    };
    let mut here = at;
    for before in (0..part).rev() {
        here = follow(here, before, false)?;
    }
    here = at;
    for after in part + 1..4 {
        here = follow(here, after, true)?;
    }
    is_part(at, part).then_some(register)
}

/// Whether an instruction is among "Branches, Exception Generating and System instructions".
fn is_jump(instruction: u32) -> bool {
    instruction >> 26 & 7 == 5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::machine::Range;

    const MOVE: [Howto; 4] = [movw(0), movw(16), movw(32), movw(48)];

    const fn movw(shift: u32) -> Howto {
        Howto { expr: RelExpr::Absolute, field: Field::Immediate(Immediate::Move { shift, checked: false }) }
    }

    fn bytes(code: &[u32]) -> Vec<u8> {
        code.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// What replaces the instructions, and how many fields it has.
    fn new(code: &[u32], index: usize, howto: Howto, from: AddressFrom) -> Option<(usize, Vec<u32>, usize)> {
        let new = rewrite(&bytes(code), 4 * index, howto, from)?;
        let words = new.code().chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
        Some((new.before, words, new.fields().len()))
    }

    #[test]
    fn groups_of_moves_become_a_page_and_an_offset() {
        use AddressFrom::{Distance, Got};
        // Two groups, for x8 and x0, one between the instructions of the other, as LLVM schedules them.
        let code = [
            MOVZ | 8,
            MOVZ,
            MOVK | 1 << 21 | 8,
            MOVK | 1 << 21,
            MOVK | 2 << 21 | 8,
            MOVK | 2 << 21,
            MOVK | 3 << 21 | 8,
            MOVK | 3 << 21,
        ];
        for (part, howto) in MOVE.into_iter().enumerate() {
            for register in [8, 0] {
                let index = 2 * part + usize::from(register == 0);
                let expected = |opcode: u32| match part {
                    0 => (0, vec![ADRP | register], 1),
                    1 => (0, vec![opcode | register << 5 | register], 1),
                    _ => (0, vec![NOP], 0),
                };
                assert_eq!(new(&code, index, howto, Distance), Some(expected(ADD)));
                assert_eq!(new(&code, index, howto, Got), Some(expected(LDR)));
            }
        }
        let part = |code: &[u32]| new(code, 0, MOVE[0], Got);
        assert_eq!(part(&code[..6]), None, "not all 64 bits");
        let mut jumps = code;
        jumps[1] = 0xd65f_03c0;
        assert_eq!(part(&jumps), None, "ret in between");
        let mut constant = code;
        constant[2] |= 5 << 5;
        assert_eq!(part(&constant), None, "movk of a number");
        assert_eq!(new(&code, 1, MOVE[1], Got), None, "the type of another part");
    }

    #[test]
    fn addresses_in_code_are_told_by_the_jump_over_them() {
        let word = Howto { expr: RelExpr::Absolute, field: Field::Bytes(8, Range::Any) };
        let code = [LDR_LITERAL | 3, SKIP_WORD, 0, 0];
        let computed = Some((8, vec![ADRP | 3, ADD | 3 << 5 | 3, NOP, NOP], 2));
        let loaded = Some((8, vec![ADRP | 3, LDR | 3 << 5 | 3, NOP, NOP], 2));
        assert_eq!(new(&code, 2, word, AddressFrom::Distance), computed);
        assert_eq!(new(&code, 2, word, AddressFrom::Got), loaded);
        assert_eq!(new(&[NOP, SKIP_WORD, 0, 0], 2, word, AddressFrom::Got), None);
        assert_eq!(new(&[LDR_LITERAL | 3, NOP, 0, 0], 2, word, AddressFrom::Got), None);
        assert_eq!(new(&[0, 0], 0, word, AddressFrom::Got), None, "data");
    }

    #[test]
    fn adrp_and_add_become_a_load() {
        let page = Howto { expr: RelExpr::PagePc, field: Field::Immediate(Immediate::Page(true)) };
        let offset = Howto { expr: RelExpr::PageOffset, field: Field::Immediate(Immediate::Offset(0)) };
        assert_eq!(new(&[ADRP | 7], 0, page, AddressFrom::Got), Some((0, vec![ADRP | 7], 1)));
        assert_eq!(new(&[ADRP | 7], 0, page, AddressFrom::Distance), None, "nothing to replace");
        assert_eq!(new(&[ADD | 7 << 5 | 2], 0, offset, AddressFrom::Got), Some((0, vec![LDR | 7 << 5 | 2], 1)));
        assert_eq!(new(&[LDR | 7 << 5 | 2], 0, offset, AddressFrom::Got), None, "reads from the symbol");
    }
}
