//! `.init` and `.fini`: two functions to which objects contribute pieces of code. The linker begins and ends them, as the C startup
//! files crti.o and crtn.o do.

use object::elf::{self, DynamicTag};

use super::input::Input;
use super::sections::Synthetic;
use super::select::{Disposition, Dispositions};

pub(super) struct Startup {
    /// Its section.
    pub name: &'static [u8],
    /// Its name in C's startup files.
    pub function: &'static [u8],
    pub tag: DynamicTag,
    pub start: Synthetic,
    pub end: Synthetic,
}

/// The function that runs before all constructors, and the one that runs after all destructors.
pub(super) const STARTUP: [Startup; 2] = [
    Startup {
        name: b".init",
        function: b"_init",
        tag: elf::DT_INIT,
        start: Synthetic::InitStart,
        end: Synthetic::InitEnd,
    },
    Startup {
        name: b".fini",
        function: b"_fini",
        tag: elf::DT_FINI,
        start: Synthetic::FiniStart,
        end: Synthetic::FiniEnd,
    },
];

/// The alignment of instructions on every machine.
pub(super) const ALIGN: u64 = 4;

impl Startup {
    /// Returns whether objects have pieces of it.
    pub fn is_in(&self, inputs: &[Input<'_>], dispositions: &Dispositions) -> bool {
        let mut sections = inputs.iter().zip(dispositions).flat_map(|(input, of)| input.sections.iter().zip(of));
        sections.any(|(section, of)| *of == Disposition::Loaded && section.name == self.name)
    }
}
