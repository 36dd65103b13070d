//! Where everything goes in the file: modules, links and gaps, what follows the terminator, the trailer. Nothing is copied; what
//! comes out is slices.

use std::borrow::Cow;

use super::settings::FileFlags;
use super::{Builder, Content, Parts, Settings, Stored};
use crate::artifact::{Artifact, check_digests};
use crate::error::{Error, Result, Status};
use crate::format::body::{Head, LINK_SIZE, Place, TERMINATOR, link};
use crate::format::flags::Flag;
use crate::format::metadata::Fields;
use crate::format::trailer::{Root, put_attribute};
use crate::trust::seal::{self, Body};

impl Builder<'_> {
    /// The artifact as slices of what is there already, and a few small pieces in between.
    pub(super) fn with_pieces(&self, use_them: impl FnOnce(&[&[u8]]) -> Result<()>) -> Result<()> {
        self.with_body(|body, pieces| {
            if !self.trailer {
                return use_them(&pieces);
            }
            let (root, chunks) = self.root(body)?;
            let trailer = seal::trailer(body, &chunks, &root, &self.signing.signatures(&root)?)?;
            let mut whole = pieces;
            whole.push(&trailer);
            use_them(&whole)
        })
    }

    /// What a signature would be over, and the chunks.
    pub(super) fn root(&self, body: &Body<'_>) -> Result<(Root, Vec<u8>)> {
        let mut chunks = Vec::new();
        for (name, value) in &self.attributes {
            put_attribute(&mut chunks, name, value)?;
        }
        Ok((seal::root(body, &chunks, 0), chunks))
    }

    /// Lays the body out.
    pub(super) fn with_body(&self, use_it: impl FnOnce(&Body<'_>, Vec<&[u8]>) -> Result<()>) -> Result<()> {
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
        let mut pieces = Vec::new();
        let mut rows = Vec::new();
        let mut end = 0;
        for (index, (module, place)) in parts.modules.iter().zip(&places).enumerate() {
            let start = pieces.len();
            if let Some(link) = index.checked_sub(1).and_then(|before| links.get(before)) {
                pieces.push(link.as_slice());
                pieces.extend(zeros.get(..(place.offset - end - LINK_SIZE) as usize));
            }
            push_module(&mut pieces, module);
            if self.trailer {
                rows.push(seal::row(place, module.image.align, pieces.get(start..).unwrap_or(&[])));
            }
            end = place.end();
        }
        pieces.push(&tail);
        let header_offset = position + LINK_SIZE;
        let body = Body { end: position + tail.len() as u64, header_offset, metadata_offset, tail: &tail, rows: &rows };
        use_it(&body, pieces)
    }

    /// The body of an artifact that exists.
    fn with_copied(&self, artifact: &Artifact, use_it: impl FnOnce(&Body<'_>, Vec<&[u8]>) -> Result<()>) -> Result<()> {
        // Damage must not get digests of its own.
        artifact.trailer().map_or(Ok(()), |trailer| check_digests(artifact, trailer))?;
        let rows = if self.trailer { artifact.rows_or_made()? } else { Cow::Borrowed(&[][..]) };
        let body = Body {
            end: artifact.body_end(),
            header_offset: artifact.header_offset(),
            metadata_offset: artifact.metadata_offset(),
            tail: artifact.tail()?,
            rows: &rows,
        };
        use_it(&body, artifact.body()?)
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
