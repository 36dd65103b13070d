//! Adding object files: they are linked into one shared object when they are added, and that is stored as a module.

use super::{Builder, Bytes};
use crate::engine::target::elf_machine;
use crate::error::{Error, Result, Status, quote};
use crate::native::link::{Object, Options, link, machine_of};

impl Builder<'_> {
    /// Links relocatable objects into a shared object, adds it as a module, and returns its index. The objects are only borrowed
    /// during the call.
    ///
    /// # Errors
    ///
    /// As [`link`]; INVALID_ARGUMENT for objects whose machine is not that of the engine's target; UNSUPPORTED if this library can't
    /// link for the objects' machine. Nothing is added then.
    pub fn add_objects(&mut self, objects: &[Object<'_>], options: &Options) -> Result<usize> {
        let target = &self.parts()?.settings.target;
        for object in objects {
            let found = machine_of(object)?;
            if elf_machine(target) != Some((found, false)) {
                let message = format!(
                    "{}: expected an object for the engine's target {}, found one for machine {found}",
                    quote(object.name.as_bytes()),
                    quote(target.as_bytes()),
                );
                return Err(Error::new(Status::InvalidArgument, message));
            }
        }
        let image = link(objects, options)?;
        self.store(Bytes::Owned(image))
    }
}
