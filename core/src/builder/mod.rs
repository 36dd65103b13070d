//! Builds artifacts from modules and settings. The modules' bytes are not copied on their way into the file.

mod fat;
mod layout;
mod objects;
mod settings;
mod signing;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use crate::alloc;
use crate::artifact::Artifact;
use crate::engine::Engine;
use crate::error::{Error, Result, Status, quote};
use crate::format::Map;
use crate::format::body::{check_producer, check_version};
use crate::format::elf::ImageFixup;
use crate::format::trailer::max_attribute_size;
use crate::format::types::{EntityType, FuncType, InstanceType, ModuleType, Types, WasmType, check_index};
use crate::format::upvars::Upvars;
use crate::limits::{MAX_ATTRIBUTES, MAX_CHUNKS, MAX_MODULES};
use crate::storage::{PrivateCopy, quote_path, replace_with};

pub use crate::storage::Sync;
pub use fat::FatBuilder;
pub(crate) use layout::Addition;
pub use settings::{FileFlags, Settings};
use signing::Signing;
pub use signing::{SignFn, Signer};

/// Builds an artifact. Borrows the modules added to it for `'m`.
#[derive(Debug)]
pub struct Builder<'m> {
    content: Content<'m>,
    /// Whether a trailer follows the body.
    trailer: bool,
    attributes: BTreeMap<String, Vec<u8>>,
    /// Upper bound of the attributes' size in the file in bytes.
    attributes_size: u64,
    signing: Signing,
}

#[derive(Debug)]
enum Content<'m> {
    New(Box<Parts<'m>>),
    /// An existing artifact, whose body is kept byte for byte.
    Existing(Arc<Artifact>),
}

#[derive(Debug)]
struct Parts<'m> {
    settings: Settings,
    modules: Vec<StoredModule<'m>>,
    types: Types<String>,
    /// The names of all imports and exports in `types`, to detect duplicates.
    names: HashSet<(TypeTable, u32, String)>,
    upvars: Upvars,
}

/// The type table that a name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum TypeTable {
    Modules,
    Instances,
}

#[derive(Debug)]
struct StoredModule<'m> {
    bytes: Bytes<'m>,
    fixup: ImageFixup,
}

#[derive(Debug)]
enum Bytes<'m> {
    Borrowed(&'m [u8]),
    Copied(PrivateCopy),
    Owned(Vec<u8>),
}

impl Bytes<'_> {
    fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Borrowed(bytes) => bytes,
            Bytes::Copied(copy) => copy.bytes(),
            Bytes::Owned(bytes) => bytes,
        }
    }
}

impl StoredModule<'_> {
    /// Returns the bytes of the image that are written unchanged: all, or all but the file header if a patched one replaces it.
    fn unpatched(&self) -> &[u8] {
        self.bytes.as_slice().get(self.fixup.header.len()..).unwrap_or(&[])
    }

    fn len(&self) -> u64 {
        (self.fixup.header.len() + self.unpatched().len() + self.fixup.suffix.len()) as u64
    }
}

impl<'m> Builder<'m> {
    /// Creates a builder without modules, with the settings of an engine. Later changes to the engine have no effect on it.
    #[must_use]
    pub fn new(engine: &Engine) -> Builder<'m> {
        Builder::with_settings(Settings::from(engine))
    }

    /// Creates a builder without modules, with exactly these settings. They may include what an engine can't express, such as flags
    /// out of order or an unknown target triple.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for an invalid producer name or a version that is too long.
    pub fn from_settings(settings: Settings) -> Result<Builder<'m>> {
        check_producer(&settings.producer)?;
        check_version(&settings.version)?;
        Ok(Builder::with_settings(settings))
    }

    fn with_settings(settings: Settings) -> Builder<'m> {
        let parts = Parts {
            settings,
            modules: Vec::new(),
            types: Types::default(),
            names: HashSet::new(),
            upvars: Upvars::default(),
        };
        Builder {
            content: Content::New(Box::new(parts)),
            trailer: true,
            attributes: BTreeMap::new(),
            attributes_size: 0,
            signing: Signing::default(),
        }
    }

    /// Creates a builder that keeps the body of an existing artifact byte for byte, its attributes, and those of its signatures that
    /// are still valid when the new artifact is written. Modules and types can't be added to it.
    ///
    /// # Errors
    ///
    /// As [`Artifact::attributes`].
    pub fn from_artifact(artifact: Arc<Artifact>) -> Result<Builder<'m>> {
        let mut builder = Builder {
            content: Content::Existing(Arc::clone(&artifact)),
            trailer: true,
            attributes: BTreeMap::new(),
            attributes_size: 0,
            signing: Signing::default(),
        };
        builder.signing.inherit(artifact.signatures().copied());
        artifact.attributes()?.iter().try_for_each(|found| builder.set_attribute(found.name, found.value))?;
        Ok(builder)
    }

    /// Sets whether a trailer (digests, attributes, signatures) is written; true by default.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if false while the builder has attributes, keys or added signatures.
    pub fn set_trailer(&mut self, trailer: bool) -> Result<()> {
        if !trailer && (!self.attributes.is_empty() || self.signing.is_requested()) {
            let message = "trailer: expected no attributes and no keys for an artifact without one, found some";
            return Err(Error::new(Status::InvalidArgument, message));
        }
        self.trailer = trailer;
        Ok(())
    }

    /// Sets an attribute, replacing its previous value.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if no trailer is written; LIMIT if the attributes become larger than a reader accepts; NO_MEMORY.
    pub fn set_attribute(&mut self, name: &str, value: &[u8]) -> Result<()> {
        self.needs_trailer("attribute")?;
        let replaced = self.attributes.get(name).map_or(0, |old| max_attribute_size(name, old));
        let size = self.attributes_size - replaced + max_attribute_size(name, value);
        let count = self.attributes.len() + usize::from(replaced == 0);
        if size > MAX_CHUNKS || count > MAX_ATTRIBUTES {
            let message = format!(
                "attributes: expected at most {MAX_ATTRIBUTES} of {MAX_CHUNKS} bytes in total, found {count} of {size}"
            );
            return Err(Error::new(Status::Limit, message));
        }
        let owned = alloc::copy(value, "an attribute")?;
        self.attributes.insert(name.to_owned(), owned);
        self.attributes_size = size;
        Ok(())
    }

    pub(crate) fn needs_trailer(&self, what: &str) -> Result<()> {
        if self.trailer {
            return Ok(());
        }
        let message = format!("{what}: expected an artifact with a trailer, found one without");
        Err(Error::new(Status::InvalidArgument, message))
    }

    /// Removes an attribute.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is no attribute of that name.
    pub fn unset_attribute(&mut self, name: &str) -> Result<()> {
        match self.attributes.remove(name) {
            Some(value) => {
                self.attributes_size -= max_attribute_size(name, &value);
                Ok(())
            }
            None => {
                let message = format!("no attribute is named '{}'", quote(name.as_bytes()));
                Err(Error::new(Status::NotFound, message))
            }
        }
    }

    /// Removes all attributes.
    pub fn clear_attributes(&mut self) {
        self.attributes.clear();
        self.attributes_size = 0;
    }

    fn parts(&mut self) -> Result<&mut Parts<'m>> {
        match &mut self.content {
            Content::New(parts) => Ok(parts),
            Content::Existing(_) => {
                let message = "builder: expected one for a new artifact, found one that keeps the body of another";
                Err(Error::new(Status::InvalidArgument, message))
            }
        }
    }

    /// Adds an ELF image as a module and returns its index. The last module added is the main module.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if `elf` is no ELF image, UNSUPPORTED if it is no ELF64 image, TRUNCATED or CORRUPT if it is damaged, LIMIT if
    /// its alignment is over 2 MiB or there are too many modules or sections, NO_MEMORY. Nothing is added then.
    pub fn add_module(&mut self, elf: &'m [u8]) -> Result<usize> {
        self.store(Bytes::Borrowed(elf))
    }

    /// Adds an ELF image, which the builder keeps, as a module and returns its index.
    ///
    /// # Errors
    ///
    /// As [`Builder::add_module`].
    pub fn add_owned_module(&mut self, elf: Vec<u8>) -> Result<usize> {
        self.store(Bytes::Owned(elf))
    }

    /// Adds a module from a file, which is read, and returns its index.
    ///
    /// # Errors
    ///
    /// As [`Builder::add_module`], and IO if the file can't be opened or read.
    pub fn add_module_file(&mut self, path: &Path) -> Result<usize> {
        self.parts()?;
        let copy = PrivateCopy::open(path)?;
        self.store(Bytes::Copied(copy)).map_err(|error| error.within(quote_path(path)))
    }

    fn store(&mut self, bytes: Bytes<'m>) -> Result<usize> {
        let parts = self.parts()?;
        let index = parts.modules.len();
        if index >= MAX_MODULES {
            let message = format!("number of modules: expected at most {MAX_MODULES}, found one more");
            return Err(Error::new(Status::Limit, message));
        }
        let fixup = ImageFixup::new(bytes.as_slice()).map_err(|error| error.within("module"))?;
        alloc::push(&mut parts.modules, StoredModule { bytes, fixup }, "the list of modules")?;
        Ok(index)
    }

    /// Returns the number of modules.
    #[must_use]
    pub fn module_count(&self) -> usize {
        match &self.content {
            Content::New(parts) => parts.modules.len(),
            Content::Existing(artifact) => artifact.module_count(),
        }
    }

    /// Replaces all types. Counts, order and duplicate names are kept exactly.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if a type index is out of range, or if the builder keeps an existing body. Nothing is changed then.
    pub fn set_types(&mut self, types: Types<String>) -> Result<()> {
        let parts = self.parts()?;
        as_invalid_argument(types.check())?;
        parts.names.clear();
        for (index, module) in (0..).zip(&types.module_signatures) {
            parts.names.extend(module.imports.0.iter().map(|(name, _)| (TypeTable::Modules, index, name.clone())));
        }
        for (index, instance) in (0..).zip(&types.instance_signatures) {
            parts.names.extend(instance.exports.0.iter().map(|(name, _)| (TypeTable::Instances, index, name.clone())));
        }
        parts.types = types;
        Ok(())
    }

    /// Adds a function type and returns its index.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if the builder keeps an existing body; LIMIT for too many types.
    pub fn add_func_type(&mut self, params: Vec<WasmType>, returns: Vec<WasmType>) -> Result<u32> {
        let types = &mut self.parts()?.types.wasm_signatures;
        let index = next_index(types.len())?;
        types.push(FuncType::new(params, returns));
        Ok(index)
    }

    /// Adds an instance type without exports and returns its index.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if the builder keeps an existing body; LIMIT for too many types.
    pub fn add_instance_type(&mut self) -> Result<u32> {
        let types = &mut self.parts()?.types.instance_signatures;
        let index = next_index(types.len())?;
        types.push(InstanceType { exports: Map::default() });
        Ok(index)
    }

    /// Adds a module type without imports and returns its index. `exports` is the index of the instance type.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if there is no such instance type, or if the builder keeps an existing body; LIMIT for too many types.
    pub fn add_module_type(&mut self, exports: u32) -> Result<u32> {
        let types = &mut self.parts()?.types;
        as_invalid_argument(check_index("instance", exports, types.instance_signatures.len()))?;
        let index = next_index(types.module_signatures.len())?;
        types.module_signatures.push(ModuleType { imports: Map::default(), exports });
        Ok(index)
    }

    /// Adds an export to an instance type.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if there is no such type, the type already has that name, or the entity's type index is out of range.
    pub fn add_instance_export(&mut self, instance: u32, name: &str, entity: EntityType) -> Result<()> {
        self.parts()?.add_name(TypeTable::Instances, instance, name, entity)
    }

    /// Adds an import to a module type.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if there is no such type, the type already has that name, or the entity's type index is out of range.
    pub fn add_module_import(&mut self, module: u32, name: &str, entity: EntityType) -> Result<()> {
        self.parts()?.add_name(TypeTable::Modules, module, name, entity)
    }

    /// Replaces all upvars.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if a module index is out of range, or if the builder keeps an existing body. Nothing is changed then.
    pub fn set_upvars(&mut self, upvars: Upvars) -> Result<()> {
        let parts = self.parts()?;
        as_invalid_argument(upvars.check(parts.modules.len() as u64))?;
        parts.upvars = upvars;
        Ok(())
    }

    /// Adds an upvar as its parent's last child and returns its index.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if there is no such parent or module, LIMIT if the upvar would be nested too deep, NO_MEMORY.
    pub fn add_upvar(&mut self, parent: Option<u32>, module: u64, artifact_upvars: &[u64]) -> Result<u32> {
        let parts = self.parts()?;
        let count = parts.modules.len() as u64;
        let mut indexes = std::iter::once(&module).chain(artifact_upvars);
        if let Some(found) = indexes.find(|module| **module >= count) {
            let message = format!("upvar: expected a module index below {count}, found {found}");
            return Err(Error::new(Status::InvalidArgument, message));
        }
        parts.upvars.add(parent, module, artifact_upvars)
    }

    /// Returns whether the settings are exactly these.
    pub(crate) fn is_for(&self, settings: &Settings) -> bool {
        matches!(&self.content, Content::New(parts) if parts.settings == *settings)
    }

    /// Compares the settings with an engine.
    ///
    /// # Errors
    ///
    /// WRONG_PRODUCER, WRONG_VERSION or INCOMPATIBLE, with the first mismatch as the message.
    pub(crate) fn check(&self, engine: &Engine) -> Result<()> {
        match &self.content {
            Content::New(parts) => parts.check(engine),
            Content::Existing(artifact) => artifact.check(engine),
        }
    }

    /// Serializes the artifact into memory.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if there is no module, or if an added signature does not match the artifact; DIGEST_MISMATCH or CORRUPT if an
    /// existing body is damaged; LIMIT, NO_MEMORY, IO.
    pub fn serialize(&self) -> Result<Vec<u8>> {
        self.serialize_with(&Addition::default())
    }

    /// As [`Builder::serialize`], with something to write in addition.
    pub(crate) fn serialize_with(&self, addition: &Addition<'_>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.with_addition(addition, &mut |layout| {
            layout.write(&mut |pieces| {
                // Room for one more byte, so that the C interface can append a NUL without copying.
                let len = pieces.iter().map(|piece| piece.len()).sum::<usize>() + 1;
                bytes.try_reserve_exact(len).map_err(|_| Error::no_memory("the whole artifact"))?;
                pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
                Ok(())
            })
        })?;
        Ok(bytes)
    }

    /// Serializes the artifact and passes it to `write`, piece by piece in order.
    ///
    /// # Errors
    ///
    /// As [`Builder::serialize`], and the first error of `write`, which is not called again then.
    pub fn serialize_to(&self, mut write: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.with_layout(&mut |layout| layout.write(&mut |pieces| pieces.iter().try_for_each(|piece| write(piece))))
    }

    /// Serializes the artifact to a file, which atomically replaces `path`.
    ///
    /// # Errors
    ///
    /// As [`Builder::serialize`] and `storage::replace`.
    pub fn serialize_to_file(&self, path: &Path, sync: Sync) -> Result<()> {
        self.with_layout(&mut |layout| replace_with(path, sync, &mut |write| layout.write(write)))
    }
}

impl Parts<'_> {
    fn add_name(&mut self, table: TypeTable, index: u32, name: &str, entity: EntityType) -> Result<()> {
        as_invalid_argument(self.types.check_entity(&entity))?;
        let Types { module_signatures: modules, instance_signatures: instances, .. } = &mut self.types;
        let (what, count, map) = match table {
            TypeTable::Modules => ("module", modules.len(), modules.get_mut(index as usize).map(|ty| &mut ty.imports)),
            TypeTable::Instances => {
                ("instance", instances.len(), instances.get_mut(index as usize).map(|ty| &mut ty.exports))
            }
        };
        let Some(map) = map else {
            return as_invalid_argument(check_index(what, index, count));
        };
        if !self.names.insert((table, index, name.to_owned())) {
            let message =
                format!("name: expected a new one, found '{}', which the type already has", quote(name.as_bytes()));
            return Err(Error::new(Status::InvalidArgument, message));
        }
        map.0.push((name.to_owned(), entity));
        Ok(())
    }
}

fn next_index(len: usize) -> Result<u32> {
    u32::try_from(len).map_err(|_| Error::new(Status::Limit, "types: expected fewer than 2^32, found more"))
}

/// Turns an error that would be CORRUPT in a file into the INVALID_ARGUMENT of a call.
fn as_invalid_argument(checked: Result<()>) -> Result<()> {
    checked.map_err(|error| Error::new(Status::InvalidArgument, error.message()))
}
