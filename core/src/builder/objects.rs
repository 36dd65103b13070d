//! A compiler's objects: linked when they are added, and stored as one module.

use super::{Builder, Bytes};
use crate::engine::target::elf_machine;
use crate::error::{Error, Result, Status, quote};
use crate::native::link::{Object, Options, link, machine_of};

impl Builder<'_> {
    /// Links relocatable objects into one shared object and adds that as a module. They are needed during the call only.
    ///
    /// # Errors
    ///
    /// As [`link`], and INVALID_ARGUMENT for objects of another machine than the engine's target names; UNSUPPORTED if that is
    /// none that objects can be linked for. Nothing is added then.
    pub fn add_objects(&mut self, objects: &[Object<'_>], options: &Options) -> Result<usize> {
        let target = &self.parts()?.settings.target;
        for object in objects {
            let found = machine_of(object)?;
            if elf_machine(target) != Some((found, false)) {
                let message = format!(
                    "object '{}': expected one for the engine's target {}, found one for machine {found}",
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
