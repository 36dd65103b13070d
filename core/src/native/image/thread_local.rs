//! Thread-local storage: what each thread's block of an image begins with, and the variables in it (ELF Handling For Thread-Local
//! Storage).

use object::LittleEndian as Le;
use object::elf::{self, ProgramHeader64};

use super::{Image, Symbol, Symbols, Tables};
use crate::error::{Error, Result, Status, quote};
use crate::limits::{MAX_ALIGN, MAX_THREAD_LOCAL};

/// PT_TLS: each thread that uses the image's variables has a block of these bytes.
#[derive(Clone, Copy, Debug)]
pub struct ThreadLocal {
    /// The address of the initial values, in one segment's part of the file.
    pub address: u64,
    /// The number of initial values, in bytes. The rest of the block is zero.
    pub file_len: u64,
    /// The length of a block, at least `file_len`.
    pub len: u64,
    /// Blocks are aligned as `address` is, with respect to this power of two.
    pub align: u64,
}

/// What a relocation for thread-local storage refers to.
#[derive(Clone, Copy, Debug)]
pub enum Variable {
    /// A variable of the image: its offset in the block.
    Own(u64),
    /// A variable that the image doesn't define.
    Undefined(Symbol),
}

impl Tables {
    /// Checks PT_TLS.
    pub(super) fn thread_local(&self, header: &ProgramHeader64<Le>) -> Result<ThreadLocal> {
        let (address, align) = (header.p_vaddr.get(Le), header.p_align.get(Le).max(1));
        let (file_len, len) = (header.p_filesz.get(Le), header.p_memsz.get(Le));
        if file_len > len {
            return Err(Error::corrupt(format!("PT_TLS: expected at most {len} initial bytes, found {file_len}")));
        }
        if !align.is_power_of_two() {
            return Err(Error::corrupt(format!("PT_TLS: expected an alignment of a power of two, found {align}")));
        }
        for (what, max, found) in [("alignment", MAX_ALIGN, align), ("size", MAX_THREAD_LOCAL, len)] {
            if found > max {
                let message = format!("{what} of thread-local storage (PT_TLS): expected at most {max}, found {found}");
                return Err(Error::new(Status::Limit, message));
            }
        }
        if file_len > 0 {
            self.place(address, file_len, "PT_TLS")?;
        }
        Ok(ThreadLocal { address, file_len, len, align })
    }
}

impl Image<'_> {
    /// Finds the variable that a relocation refers to. The null symbol stands for the start of the image's own block.
    ///
    /// # Errors
    ///
    /// CORRUPT if the image has no such variable.
    pub fn variable(&self, symbols: &Symbols<'_>, index: u32) -> Result<Variable> {
        let offset = if index == 0 {
            0
        } else {
            let symbol = symbols.get(index)?;
            if !symbol.defined {
                return Ok(Variable::Undefined(symbol));
            }
            if symbol.kind != elf::STT_TLS {
                let name = symbols.name(&symbol).map_or(String::new(), |name| quote(name.to_bytes()).into_owned());
                let found = symbol.kind.0;
                let message = format!("symbol '{name}': expected a thread-local variable (STT_TLS 6), found {found}");
                return Err(Error::corrupt(message));
            }
            symbol.value
        };
        match self.tables.thread_local {
            Some(block) if offset <= block.len => Ok(Variable::Own(offset)),
            Some(ThreadLocal { len, .. }) => Err(Error::corrupt(format!(
                "symbol {index}: expected an offset in the {len} bytes of thread-local storage (PT_TLS), found {offset}"
            ))),
            None => Err(Error::corrupt("relocation: expected thread-local storage in the image (PT_TLS), found none")),
        }
    }
}
