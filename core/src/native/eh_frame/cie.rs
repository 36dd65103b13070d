//! CIEs (Common Information Entries), which say how their FDEs are encoded. Only what all unwinders read in the same way is accepted:
//! libgcc (`get_cie_encoding`, `extract_cie_info`) and LLVM's libunwind (`CFI_Parser::parseCIE`) differ in everything else.

use super::{Format, HEAD, Leb, number};
use crate::error::{Error, Result, Status, quote};

/// A CIE: how its FDEs are encoded.
#[derive(Clone, Copy)]
pub struct Cie {
    /// Its offset in the table.
    pub at: usize,
    /// The size of a function's address, and of its length, in bytes.
    pub pointer: usize,
    /// The pointer to language-specific data that each of its FDEs has. It may be NULL.
    pub lsda: Option<Pointer>,
}

/// An encoded pointer, which is relative to its own address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pointer {
    /// Its size in bytes: 4 or 8.
    pub size: usize,
    /// It points at a word that contains the address.
    pub indirect: bool,
}

const INDIRECT: u8 = 0x80;
const OMIT: u8 = 0xff;

impl Pointer {
    /// The pointer with this encoding (`DW_EH_PE_`). Pointers that aren't relative to their own address would need relocation.
    fn of(encoding: u8) -> Result<Pointer> {
        let size = match encoding & !INDIRECT {
            0x1b => 4,               // pcrel | sdata4
            0x10 | 0x14 | 0x1c => 8, // pcrel | absptr, udata8, sdata8
            _ => {
                let message = format!("CIE: expected pointers relative to their address, found encoding {encoding:#x}");
                return Err(unsupported(message));
            }
        };
        Ok(Pointer { size, indirect: encoding & INDIRECT != 0 })
    }
}

fn unsupported(message: String) -> Error {
    Error::new(Status::Unsupported, message)
}

#[cold]
fn cut() -> Error {
    Error::corrupt("CIE: expected its fields within the record, found one that ends outside")
}

/// Which parts of the augmentation data an augmentation string announces.
struct Augmentation {
    personality: bool,
    lsda: bool,
}

/// Reads an augmentation string. `P`, `L` and `R` announce data in their order. `S` (a signal frame) and `B` (return addresses are signed
/// with key B) announce none, and come last as compilers write them: before `R`, libgcc takes `S` for the end and would read all
/// addresses in another encoding. Other letters are read by some unwinders only.
fn augmentation(text: &[u8], format: Format) -> Option<Augmentation> {
    let mut rest = text.strip_prefix(b"z")?;
    let mut take = |letter: u8| match rest.split_first() {
        Some((first, after)) if *first == letter => {
            rest = after;
            true
        }
        _ => false,
    };
    let found = Augmentation { personality: take(b'P'), lsda: take(b'L') };
    if !take(b'R') {
        return None;
    }
    let is_aarch64 = format == Format::Aarch64;
    let signal = take(b'S');
    let signed = is_aarch64 && take(b'B');
    if signed && !signal {
        take(b'S'); // GNU as writes "BS", LLVM "SB"
    }
    rest.is_empty().then_some(found)
}

#[cfg(test)]
pub fn accepts(text: &[u8], format: Format) -> bool {
    augmentation(text, format).is_some()
}

/// The personality routine's pointer: its offset in the record.
pub type Personality = Option<(usize, Pointer)>;

/// Reads a CIE, a whole record of a table, at an offset in the table.
///
/// # Errors
///
/// CORRUPT if its fields reach beyond the record or contradict each other, UNSUPPORTED if unwinders read it in different ways or it
/// needs relocation.
pub fn read(record: &[u8], at: usize, format: Format) -> Result<(Cie, Personality)> {
    /// Compilers write up to five letters.
    const MAX_LETTERS: usize = 16;
    let version = *record.get(HEAD).ok_or_else(cut)?;
    if version != 1 && version != 3 {
        return Err(unsupported(format!("CIE: expected version 1 or 3, found {version}")));
    }
    let text = record.get(HEAD + 1..).ok_or_else(cut)?;
    let Some(text) = text.iter().take(MAX_LETTERS).position(|byte| *byte == 0).and_then(|len| text.get(..len)) else {
        return Err(Error::corrupt("CIE: expected an augmentation string, found no end of it"));
    };
    let Some(announced) = augmentation(text, format) else {
        let message = format!(
            "CIE: expected an augmentation that all unwinders read alike, as 'zR' or 'zPLR', found '{}'",
            quote(text)
        );
        return Err(unsupported(message));
    };
    let mut fields = Leb { bytes: record, at: HEAD + 1 + text.len() + 1 };
    let code_alignment = fields.unsigned().ok_or_else(cut)?;
    let data_alignment = fields.signed().ok_or_else(cut)?;
    let register = if version == 1 { fields.byte().map(u64::from) } else { fields.unsigned() }.ok_or_else(cut)?;
    // Unwinders store these in types of different sizes, and use the register as an index.
    if code_alignment > i32::MAX as u64 || i32::try_from(data_alignment).is_err() || register > format.max_register() {
        let message = format!(
            "CIE: expected alignment factors of 32 bits and a return address register up to {}, \
             found {code_alignment}, {data_alignment} and {register}",
            format.max_register()
        );
        return Err(unsupported(message));
    }
    let len = fields.unsigned().ok_or_else(cut)?;
    let start = fields.at;
    let mut personality = None;
    if announced.personality {
        let pointer = Pointer::of(fields.byte().ok_or_else(cut)?)?;
        number(record, fields.at, pointer.size).ok_or_else(cut)?;
        personality = Some((fields.at, pointer));
        fields.at += pointer.size;
    }
    let lsda = match announced.lsda.then(|| fields.byte().ok_or_else(cut)).transpose()? {
        None | Some(OMIT) => None,
        Some(encoding) => Some(Pointer::of(encoding)?),
    };
    let function = Pointer::of(fields.byte().ok_or_else(cut)?)?;
    if function.indirect {
        return Err(unsupported("CIE: expected addresses of functions, found pointers to addresses".to_owned()));
    }
    // Some unwinders look for the instructions after the data that they know, others after the length.
    if (fields.at - start) as u64 != len {
        let message =
            format!("CIE: expected {} bytes of augmentation data, found a length of {len}", fields.at - start);
        return Err(Error::corrupt(message));
    }
    Ok((Cie { at, pointer: function.size, lsda }, personality))
}
