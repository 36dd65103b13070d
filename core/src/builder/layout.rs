//! The layout of an artifact being written: modules, link words, padding, tail and trailer. The body is a list of slices; the
//! modules' bytes are not copied.

use std::collections::BTreeMap;
use std::ops::Range;

use super::settings::FileFlags;
use super::{Builder, Content, Parts, Settings, Signer, StoredModule};
use crate::alloc;
use crate::artifact::{Artifact, check_digests};
use crate::compat;
use crate::engine::Engine;
use crate::error::{Error, Result, Status};
use crate::format::body::{Header, LINK_SIZE, ModuleRange, TERMINATOR, link_target};
use crate::format::elf::Identity;
use crate::format::flags::Flag;
use crate::format::metadata::{Fields, Metadata};
use crate::format::trailer::{CommonIdentity, Digest, ModuleEntry, Root, encode_attribute};
use crate::storage::Sink;
use crate::trust::hashing;
use crate::trust::seal::{self, BodyInfo};

/// Largest body in bytes that is hashed first and written with its trailer in one go: so many bytes are neither hashed by helper threads
/// nor on their way to the disk before all are written.
const AT_ONCE: u64 = 512 << 10;

/// What is written in addition to the builder's own attributes and signatures.
#[derive(Default)]
pub(crate) struct Addition<'a> {
    /// Attributes, which replace the builder's of the same names.
    pub attributes: &'a [(&'a str, &'a [u8])],
    pub signer: Option<&'a Signer>,
}

/// The computed layout of an artifact.
pub(crate) struct Layout<'l> {
    builder: &'l Builder<'l>,
    addition: &'l Addition<'l>,
    /// The body: slices of the modules, and small pieces between them.
    body: Vec<&'l [u8]>,
    /// For each module, the indexes of its slices in `body`, those of its link word and padding included.
    modules: Vec<Range<usize>>,
    /// The bytes from the terminator to the end of the body.
    tail: &'l [u8],
    body_end: u64,
    header_offset: u64,
    metadata_offset: u64,
    identity: CommonIdentity,
    /// Whether the body comes from an artifact with digests, so that it can be checked while it is written.
    has_digests: bool,
    /// Computes the module table from the modules' digests.
    entries: &'l dyn Fn(&[Digest]) -> Result<Vec<ModuleEntry>>,
}

impl Layout<'_> {
    /// Writes the body, then the trailer. The modules' digests, the slow part of the trailer, are computed while the body is written, or
    /// before, if it is small.
    pub(crate) fn write(&self, to: &mut Sink<'_>) -> Result<()> {
        let trailer = self.builder.trailer;
        if !trailer && !self.has_digests {
            return to(&self.body);
        }
        let at_once = self.body_end <= AT_ONCE;
        let entries = self.entries(&mut || if at_once { Ok(()) } else { to(&self.body) })?;
        let mut rest = alloc::copy(if at_once { &self.body } else { &[][..] }, "the list of slices")?;
        let encoded;
        if trailer {
            encoded = self.encode_trailer(&entries)?;
            alloc::push(&mut rest, &encoded, "the list of slices")?;
        }
        to(&rest)
    }

    fn encode_trailer(&self, entries: &[ModuleEntry]) -> Result<Vec<u8>> {
        let body = self.body_info(entries);
        let (root, chunks) = self.sealed(&body)?;
        let signatures = self.builder.signing.signatures(&root, self.addition.signer)?;
        seal::encode_trailer(&body, &chunks, &root, &signatures)
    }

    /// Returns the root record, which signatures are over.
    pub(super) fn root(&self) -> Result<Root> {
        let entries = self.entries(&mut || Ok(()))?;
        Ok(self.sealed(&self.body_info(&entries))?.0)
    }

    /// Returns the root record and the encoded chunks.
    fn sealed(&self, body: &BodyInfo<'_>) -> Result<(Root, Vec<u8>)> {
        let own = self.builder.attributes.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let mut attributes = BTreeMap::new();
        for (name, value) in own.chain(self.addition.attributes.iter().copied()) {
            attributes.insert(name, value); // one by one: `collect` would add kilobytes of sorting code
        }
        let mut chunks = Vec::new();
        for (name, value) in attributes {
            encode_attribute(&mut chunks, name, value)?;
        }
        Ok((seal::root_record(body, &chunks, 0), chunks))
    }

    fn entries(&self, meanwhile: &mut dyn FnMut() -> Result<()>) -> Result<Vec<ModuleEntry>> {
        let Layout { body, modules, entries, .. } = self;
        let pieces = |module| body.get(modules.get(module).cloned().unwrap_or_default()).unwrap_or_default();
        entries(&hashing::hash_modules(modules.len(), &pieces, meanwhile)?)
    }

    fn body_info<'r>(&'r self, entries: &'r [ModuleEntry]) -> BodyInfo<'r> {
        let Layout { body_end, header_offset, metadata_offset, tail, identity, .. } = *self;
        BodyInfo { body_end, header_offset, metadata_offset, tail, entries, identity }
    }
}

impl Builder<'_> {
    /// Computes the layout and passes it to `consume`.
    pub(super) fn with_layout(&self, consume: &mut dyn FnMut(&Layout<'_>) -> Result<()>) -> Result<()> {
        self.with_addition(&Addition::default(), consume)
    }

    /// As [`Builder::with_layout`], with something to write in addition.
    pub(crate) fn with_addition(
        &self,
        addition: &Addition<'_>,
        consume: &mut dyn FnMut(&Layout<'_>) -> Result<()>,
    ) -> Result<()> {
        let parts = match &self.content {
            Content::Existing(artifact) => return self.with_existing(artifact, addition, consume),
            Content::New(parts) => parts,
        };
        let too_large = || Error::new(Status::Limit, "artifact: expected a file shorter than 2^64 bytes, found more");
        let Some((first, others)) = parts.modules.split_first() else {
            let message = "builder: expected at least one module, found none";
            return Err(Error::new(Status::InvalidArgument, message));
        };
        // Compute all offsets first: the slices below borrow the link words.
        let mut links = Vec::new();
        let mut ranges = vec![ModuleRange { offset: 0, len: first.len() }];
        let mut position = first.len();
        for module in others {
            let offset = link_target(position, module.fixup.align).ok_or_else(too_large)?;
            links.push(offset.to_le_bytes());
            ranges.push(ModuleRange { offset, len: module.len() });
            position = offset.checked_add(module.len()).ok_or_else(too_large)?;
        }
        let mut tail = TERMINATOR.to_le_bytes().to_vec();
        let metadata_offset = position + parts.encode_tail(&mut tail)? as u64;

        // Padding is shorter than the alignment, which is at most 2 MiB. Zeroed pages that are only read take no memory.
        let max_align = parts.modules.iter().map(|module| module.fixup.align).max().unwrap_or(0);
        let zeros = vec![0; max_align as usize];
        let mut body = Vec::new();
        let mut modules = Vec::new();
        let mut body_end = 0;
        for (index, (module, range)) in parts.modules.iter().zip(&ranges).enumerate() {
            let start = body.len();
            if let Some(link) = index.checked_sub(1).and_then(|previous| links.get(previous)) {
                body.push(link.as_slice());
                body.extend(zeros.get(..(range.offset - body_end - LINK_SIZE) as usize));
            }
            push_module(&mut body, module);
            modules.push(start..body.len());
            body_end = range.end();
        }
        body.push(&tail);
        let entries = |digests: &[Digest]| {
            let modules = ranges.iter().zip(&parts.modules).zip(digests);
            Ok(modules.map(|((range, module), digest)| seal::module_entry(range, module.fixup.align, digest)).collect())
        };
        consume(&Layout {
            builder: self,
            addition,
            body,
            modules,
            tail: &tail,
            body_end: position + tail.len() as u64,
            header_offset: position + LINK_SIZE,
            metadata_offset,
            identity: CommonIdentity::of(&mut parts.modules.iter().map(|module| Identity::of(module.bytes.as_slice()))),
            has_digests: false,
            entries: &entries,
        })
    }

    /// Passes the layout of an existing artifact's body to `consume`.
    fn with_existing(
        &self,
        artifact: &Artifact,
        addition: &Addition<'_>,
        consume: &mut dyn FnMut(&Layout<'_>) -> Result<()>,
    ) -> Result<()> {
        consume(&Layout {
            builder: self,
            addition,
            body: artifact.body()?,
            modules: (0..artifact.module_count()).map(|module| module..module + 1).collect(),
            tail: artifact.tail()?,
            body_end: artifact.body_end(),
            header_offset: artifact.header_offset(),
            metadata_offset: artifact.metadata_offset(),
            identity: artifact.common_identity()?,
            has_digests: artifact.trailer().is_some(),
            entries: &|digests| {
                // Do not compute new digests for a damaged body.
                artifact.trailer().map_or(Ok(()), |trailer| check_digests(artifact, trailer, digests))?;
                Ok(artifact.entries_for(digests)?.into_owned())
            },
        })
    }
}

impl Parts<'_> {
    /// Compares the settings with an engine.
    pub(super) fn check(&self, engine: &Engine) -> Result<()> {
        let mut tail = Vec::new();
        let metadata = self.encode_tail(&mut tail)?;
        let Settings { producer, version, .. } = &self.settings;
        if let Some(finding) = compat::origin(engine, producer, version) {
            return Err(finding.into());
        }
        compat::check(engine, &Metadata::decode(tail.get(metadata..).unwrap_or(&[]))?.0)
    }

    /// Appends HEADER, version and Metadata to `out`, and returns the offset of Metadata in `out`.
    fn encode_tail(&self, out: &mut Vec<u8>) -> Result<usize> {
        let Settings { producer, version, target, shared_flags, isa_flags, tunables, features } = &self.settings;
        Header::encode(producer, version, out)?;
        let metadata = out.len();
        let (shared_flags, isa_flags) = (borrowed(shared_flags), borrowed(isa_flags));
        Fields {
            target,
            shared_flags: &shared_flags,
            isa_flags: &isa_flags,
            tunables,
            features,
            upvars: &self.upvars,
            types: &self.types,
        }
        .encode(out)?;
        Ok(metadata)
    }
}

fn borrowed(flags: &FileFlags) -> Vec<(&str, Flag<&str>)> {
    flags.0.iter().map(|(name, flag)| (name.as_str(), flag.borrowed())).collect()
}

fn push_module<'p>(pieces: &mut Vec<&'p [u8]>, module: &'p StoredModule<'_>) {
    pieces.extend([module.fixup.header.as_slice(), module.unpatched(), module.fixup.suffix.as_slice()]);
}
