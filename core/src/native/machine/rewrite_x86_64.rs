//! Instructions that put an address into a register, and what replaces them. Their encodings are in the Intel SDM, volume 2: MOV,
//! LEA, and chapter 2 for REX and ModRM. The psABI, "Optimize GOTPCRELX Relocations", has the first of these replacements.

use super::x86_64::SIGNED;
use super::{AddressFrom, Field, Howto, Range, RelExpr, Rewrite, RewrittenField, Slot};

/// The part of ModRM that says "relative to the next instruction".
const RIP: u8 = 0x05;

/// Replaces an instruction by one of the same length: lea of a distance, or mov from the GOT. Both have the same ModRM byte.
pub fn rewrite(code: &[u8], at: usize, howto: Howto, from: AddressFrom) -> Option<Rewrite> {
    let before = |back: usize| at.checked_sub(back).and_then(|at| code.get(at)).copied();
    let (opcode, expr) = match from {
        AddressFrom::Distance => (0x8d, RelExpr::Pc),
        AddressFrom::Got => (0x8b, RelExpr::GotPc(Slot::Address)),
    };
    let field = |at, addend| [RewrittenField { at, howto: Howto { expr, field: SIGNED }, addend }];
    let (first, second) = (before(2)?, before(1)?);
    let from_got = from == AddressFrom::Got;
    match howto.expr {
        // mov entry(%rip), %reg, with a REX prefix or without: 8b /r.
        RelExpr::GotPcRelaxable if !from_got && first == 0x8b && second & 0xc7 == RIP => {
            Some(Rewrite::new(2, &[opcode, second, 0, 0, 0, 0], &field(2, 0)))
        }
        // lea symbol(%rip), %reg of 64 bits: REX.W 8d /r.
        RelExpr::Pc if from_got && before(3)? & 0xfb == 0x48 && first == 0x8d && second & 0xc7 == RIP => {
            Some(Rewrite::new(2, &[opcode, second, 0, 0, 0, 0], &field(2, 0)))
        }
        // movabs $symbol, %reg: REX.W b8+r. Three bytes are left, which become a nop.
        RelExpr::Absolute if howto.field.is_word() && first & 0xfe == 0x48 && second & 0xf8 == 0xb8 => {
            let code = [with_register(first), opcode, register(second), 0, 0, 0, 0, 0x0f, 0x1f, 0x00];
            Some(Rewrite::new(2, &code, &field(3, -4)))
        }
        // mov $symbol, %reg of 64 bits, sign-extended: REX.W c7 /0, which the kernel's memory model has.
        RelExpr::Absolute if matches!(howto.field, Field::Bytes(4, Range::Signed)) => {
            let rex = before(3).filter(|rex| rex & 0xfe == 0x48 && first == 0xc7 && second & 0xf8 == 0xc0)?;
            Some(Rewrite::new(3, &[with_register(rex), opcode, register(second), 0, 0, 0, 0], &field(3, -4)))
        }
        _ => None,
    }
}

/// REX.W for a register in ModRM.reg that REX.B extended.
fn with_register(rex: u8) -> u8 {
    0x48 | (rex & 1) << 2
}

/// ModRM with the register of the last three bits.
fn register(byte: u8) -> u8 {
    (byte & 7) << 3 | RIP
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::machine::x86_64::howto;
    use object::elf;

    /// The instructions that replace those with a field of a relocation of this type at `at`.
    fn new(code: &[u8], at: usize, kind: elf::RelocationType, from: AddressFrom) -> Option<(usize, Vec<u8>, usize)> {
        let new = rewrite(code, at, howto(kind).unwrap(), from)?;
        let [field] = new.fields() else { panic!("one field") };
        assert_eq!(
            field.at + 4 + if new.code().len() == 10 { 3 } else { 0 },
            new.code().len(),
            "the displacement is last"
        );
        Some((new.before, new.code().to_vec(), field.at))
    }

    #[test]
    fn instructions_are_told_by_their_opcodes() {
        use AddressFrom::{Distance, Got};
        let load = |code: &[u8], at| new(code, at, elf::R_X86_64_REX_GOTPCRELX, Distance);
        assert_eq!(
            load(&[0x48, 0x8b, 0x1d, 0, 0, 0, 0], 3),
            Some((2, vec![0x8d, 0x1d, 0, 0, 0, 0], 2)),
            "mov 0(%rip), %rbx"
        );
        assert_eq!(load(&[0x48, 0x8b, 0x5d, 0], 3), None, "mov 0(%rbp), %rbx");
        assert_eq!(load(&[0xff, 0x15, 0, 0, 0, 0], 2), None, "call *0(%rip)");
        assert_eq!(load(&[0x05], 1), None);

        let lea = |code: &[u8], from| new(code, 3, elf::R_X86_64_PC32, from);
        let mov = (2, vec![0x8b, 0x25, 0, 0, 0, 0], 2);
        assert_eq!(lea(&[0x4c, 0x8d, 0x25, 0, 0, 0, 0], Got), Some(mov), "lea 0(%rip), %r12; mov 0(%rip), %r12");
        assert_eq!(lea(&[0x4c, 0x8d, 0x25, 0, 0, 0, 0], Distance), None, "nothing to replace");
        assert_eq!(lea(&[0x66, 0x8d, 0x25, 0, 0, 0, 0], Got), None, "lea 0(%rip), %sp");
        assert_eq!(lea(&[0x48, 0x8b, 0x05, 0, 0, 0, 0], Got), None, "mov 0(%rip), %rax");

        let whole = |code: &[u8], from| new(code, 2, elf::R_X86_64_64, from).map(|(_, code, _)| code);
        let movabs = [0x49, 0xbc, 0, 0, 0, 0, 0, 0, 0, 0];
        let replaced = |opcode| Some(vec![0x4c, opcode, 0x25, 0, 0, 0, 0, 0x0f, 0x1f, 0x00]);
        assert_eq!(whole(&movabs, Distance), replaced(0x8d), "movabs $0, %r12; lea 0(%rip), %r12");
        assert_eq!(whole(&movabs, Got), replaced(0x8b), "movabs $0, %r12; mov 0(%rip), %r12");
        assert_eq!(whole(&[0x48, 0xa1, 0, 0, 0, 0, 0, 0, 0, 0], Distance), None, "movabs 0, %rax");
        assert_eq!(whole(&[0; 10], Distance), None, "data");

        let signed = |code: &[u8], at| new(code, at, elf::R_X86_64_32S, Distance);
        let lea = (3, vec![0x4c, 0x8d, 0x3d, 0, 0, 0, 0], 3);
        assert_eq!(signed(&[0x49, 0xc7, 0xc7, 0, 0, 0, 0], 3), Some(lea), "mov $0, %r15; lea 0(%rip), %r15");
        assert_eq!(signed(&[0x48, 0xc7, 0x00, 0, 0, 0, 0], 3), None, "movq $0, (%rax)");
        assert_eq!(signed(&[0x48, 0x81, 0xf8, 0, 0, 0, 0], 3), None, "cmp $0, %rax");
        assert_eq!(signed(&[0x90, 0xb8, 0, 0, 0, 0], 2), None, "mov $0, %eax: too short for lea");
    }
}
