//! Where everything goes in the file: modules, links and gaps, what follows the terminator, the trailer. Nothing is copied; what
//! comes out is slices.

use std::ops::Range;

use super::settings::FileFlags;
use super::{Builder, Content, Parts, Settings, Stored};
use crate::artifact::{Artifact, check_digests};
use crate::error::{Error, Result, Status};
use crate::format::body::{Head, LINK_SIZE, Place, TERMINATOR, link};
use crate::format::flags::Flag;
use crate::format::metadata::Fields;
use crate::format::trailer::{Digest, Root, Row, put_attribute};
use crate::storage::Sink;
use crate::trust::hashing;
use crate::trust::seal::{self, Body};

/// An artifact, laid out.
pub(super) struct Layout<'l> {
    builder: &'l Builder<'l>,
    /// The body: slices of what is there already, and a few small pieces in between.
    body: Vec<&'l [u8]>,
    /// Which of them are a module, with its link word and padding.
    modules: Vec<Range<usize>>,
    /// Terminator to end of body.
    tail: &'l [u8],
    end: u64,
    header_offset: u64,
    metadata_offset: u64,
    /// Whether digests say what the body has to be.
    sealed: bool,
    /// The module table, given the modules' digests.
    rows: &'l dyn Fn(&[Digest]) -> Result<Vec<Row>>,
}

impl Layout<'_> {
    /// Hands on the body, then the trailer; what that takes longest to make, the modules' digests, is made meanwhile.
    pub(super) fn write(&self, to: &mut Sink<'_>) -> Result<()> {
        let trailer = self.builder.trailer;
        if !trailer && !self.sealed {
            return to(&self.body);
        }
        let rows = self.rows(&mut || to(&self.body))?;
        if !trailer {
            return Ok(());
        }
        let body = self.described(&rows);
        let (root, chunks) = self.builder.root(&body)?;
        to(&[&seal::trailer(&body, &chunks, &root, &self.builder.signing.signatures(&root)?)?])
    }

    /// What a signature would be over.
    pub(super) fn root(&self) -> Result<Root> {
        let rows = self.rows(&mut || Ok(()))?;
        Ok(self.builder.root(&self.described(&rows))?.0)
    }

    fn rows(&self, meanwhile: &mut dyn FnMut() -> Result<()>) -> Result<Vec<Row>> {
        let Layout { body, modules, rows, .. } = self;
        let pieces = |module| body.get(modules.get(module).cloned().unwrap_or_default()).unwrap_or_default();
        rows(&hashing::modules(modules.len(), &pieces, meanwhile)?)
    }

    fn described<'r>(&'r self, rows: &'r [Row]) -> Body<'r> {
        let Layout { end, header_offset, metadata_offset, tail, .. } = *self;
        Body { end, header_offset, metadata_offset, tail, rows }
    }
}

impl Builder<'_> {
    /// Root record and chunks.
    fn root(&self, body: &Body<'_>) -> Result<(Root, Vec<u8>)> {
        let mut chunks = Vec::new();
        for (name, value) in &self.attributes {
            put_attribute(&mut chunks, name, value)?;
        }
        Ok((seal::root(body, &chunks, 0), chunks))
    }

    /// Lays the artifact out.
    pub(super) fn with_layout(&self, use_it: &mut dyn FnMut(&Layout<'_>) -> Result<()>) -> Result<()> {
        let parts = match &self.content {
            Content::Copy(artifact) => return self.with_copied(artifact, use_it),
            Content::New(parts) => parts,
        };
        let too_large = || Error::new(Status::Limit, "artifact: expected less than 2^64 bytes, found more");
        let Some((first, others)) = parts.modules.split_first() else {
            let message = "builder: expected at least one module, found none";
            return Err(Error::new(Status::InvalidArgument, message));
        };
        // First where everything goes, then the slices: they borrow the link words.
        let mut links = Vec::new();
        let mut places = vec![Place { offset: 0, len: first.len() }];
        let mut position = first.len();
        for module in others {
            let offset = link(position, module.image.align).ok_or_else(too_large)?;
            links.push(offset.to_le_bytes());
            places.push(Place { offset, len: module.len() });
            position = offset.checked_add(module.len()).ok_or_else(too_large)?;
        }
        let mut tail = TERMINATOR.to_le_bytes().to_vec();
        let metadata_offset = position + parts.encode_tail(&mut tail)? as u64;

        // Gaps are shorter than an alignment, which is at most 2 MiB. Zeros that are only read take no memory.
        let gap = parts.modules.iter().map(|module| module.image.align).max().unwrap_or(0);
        let zeros = vec![0; gap as usize];
        let mut body = Vec::new();
        let mut modules = Vec::new();
        let mut end = 0;
        for (index, (module, place)) in parts.modules.iter().zip(&places).enumerate() {
            let start = body.len();
            if let Some(link) = index.checked_sub(1).and_then(|before| links.get(before)) {
                body.push(link.as_slice());
                body.extend(zeros.get(..(place.offset - end - LINK_SIZE) as usize));
            }
            push_module(&mut body, module);
            modules.push(start..body.len());
            end = place.end();
        }
        body.push(&tail);
        let rows = |digests: &[Digest]| {
            let modules = places.iter().zip(&parts.modules).zip(digests);
            Ok(modules.map(|((place, module), digest)| seal::row(place, module.image.align, digest)).collect())
        };
        use_it(&Layout {
            builder: self,
            body,
            modules,
            tail: &tail,
            end: position + tail.len() as u64,
            header_offset: position + LINK_SIZE,
            metadata_offset,
            sealed: false,
            rows: &rows,
        })
    }

    /// The body of an artifact that exists.
    fn with_copied(&self, artifact: &Artifact, use_it: &mut dyn FnMut(&Layout<'_>) -> Result<()>) -> Result<()> {
        use_it(&Layout {
            builder: self,
            body: artifact.body()?,
            modules: (0..artifact.module_count()).map(|module| module..module + 1).collect(),
            tail: artifact.tail()?,
            end: artifact.body_end(),
            header_offset: artifact.header_offset(),
            metadata_offset: artifact.metadata_offset(),
            sealed: artifact.trailer().is_some(),
            rows: &|digests| {
                // Damage must not get digests of its own.
                artifact.trailer().map_or(Ok(()), |trailer| check_digests(artifact, trailer, digests))?;
                Ok(artifact.rows_or_made(digests)?.into_owned())
            },
        })
    }
}

impl Parts<'_> {
    /// Appends HEADER, version and Metadata, and says how long `out` was before Metadata.
    fn encode_tail(&self, out: &mut Vec<u8>) -> Result<usize> {
        let Settings { producer, version, target, shared_flags, isa_flags, tunables, features } = &self.settings;
        Head::encode(producer, version, out)?;
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

fn push_module<'p>(pieces: &mut Vec<&'p [u8]>, module: &'p Stored<'_>) {
    pieces.extend([module.image.head.as_slice(), module.body(), module.image.tail.as_slice()]);
}
