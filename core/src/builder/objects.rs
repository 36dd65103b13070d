//! Adding object files: they are linked into one shared object when they are added, and that is stored as a module.

use super::{Builder, Bytes};
use crate::engine::target::elf_identity;
use crate::error::{Error, Result, Status, quote};
use crate::format::archive::is_archive;
use crate::format::elf::Identity;
use crate::native::link::{Object, Options, link, machine_of};

impl Builder<'_> {
    /// Links relocatable objects and archives into a shared object, adds it as a module, and returns its index. The objects are only borrowed
    /// during the call.
    ///
    /// # Errors
    ///
    /// As [`link`]; INVALID_ARGUMENT for objects whose machine is not that of the engine's target; UNSUPPORTED if this library can't
    /// link for the objects' machine. Nothing is added then.
    pub fn add_objects(&mut self, objects: &[Object<'_>], options: &Options<'_>) -> Result<usize> {
        for object in objects.iter().filter(|object| !is_archive(object.bytes)) {
            machine_of(object)?;
            self.check_machine(object.bytes).map_err(|error| error.within(quote(object.name.as_bytes())))?;
        }
        let image = link(objects, options)?;
        // All members of archives are for the image's machine.
        self.check_machine(&image)?;
        self.store(Bytes::Owned(image))
    }

    /// Checks that an ELF image or object is for the machine, class and byte order of the engine's target.
    /// [`add_module`](Builder::add_module) stores images for any machine.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if it is not.
    pub fn check_machine(&mut self, elf: &[u8]) -> Result<()> {
        let target = &self.parts()?.settings.target;
        match (elf_identity(target), Identity::of(elf)) {
            (Some(expected), Some(found)) if expected != found => {
                let target = quote(target.as_bytes());
                let message = format!(
                    "expected code for {expected}, as the engine's target '{target}' has; found code for {found}"
                );
                Err(Error::new(Status::InvalidArgument, message))
            }
            _ => Ok(()),
        }
    }
}
