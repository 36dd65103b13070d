//! Compressed debug sections (gABI, Section Compression): the linker applies relocations to what they hold, so it expands them, as
//! linkers do.

use object::LittleEndian;
use object::elf::{self, CompressionHeader64, CompressionType};
use object::pod;

use super::input::{Input, ORDER, Section};
use super::select::{Disposition, Dispositions};
use crate::alloc;
use crate::error::{Error, Result, Status, quote};
use crate::limits::{MAX_EXPANDED, MAX_EXPANSION};

/// The largest window that RFC 8878 asks every decoder of zstd to support. Compressors use at most this or the size of the content.
const WINDOW: u64 = 8 << 20;

/// The compression header of a section.
#[derive(Clone, Copy)]
pub(super) struct Compression {
    kind: CompressionType,
    /// The size of the content.
    pub size: u64,
    /// The alignment of the content.
    pub align: u64,
}

/// Splits the bytes of a section with SHF_COMPRESSED into the header and the compressed content.
pub(super) fn split(bytes: &[u8]) -> Option<(Compression, &[u8])> {
    let (header, content) = pod::from_bytes::<CompressionHeader64<LittleEndian>>(bytes).ok()?;
    let (kind, size, align) = (header.ch_type.get(ORDER), header.ch_size.get(ORDER), header.ch_addralign.get(ORDER));
    Some((Compression { kind, size, align }, content))
}

/// Expands the compressed sections that are linked.
///
/// # Errors
///
/// UNSUPPORTED for an unknown compression, CORRUPT for content that does not have the size that it should have, LIMIT.
pub(super) fn expand(inputs: &mut [Input<'_>], dispositions: &Dispositions) -> Result<()> {
    let mut total = 0u64;
    for (input, of) in inputs.iter_mut().zip(dispositions) {
        let (name, before) = (input.name, total);
        let max = input.len.saturating_mul(MAX_EXPANSION);
        for (section, _) in input.sections.iter_mut().zip(of).filter(|(_, of)| **of == Disposition::Debug) {
            let Some(compression) = section.compression else { continue };
            total = total.saturating_add(compression.size);
            if total > MAX_EXPANDED || total - before > max {
                let message = format!(
                    "{}: section '{}': expected at most {max} bytes of expanded debug sections in an object of this size, and \
                     {MAX_EXPANDED} in all, found more",
                    quote(name.as_bytes()),
                    quote(section.name),
                );
                return Err(Error::new(Status::Limit, message));
            }
            let content = content(section, compression).map_err(|error| error.within(quote(name.as_bytes())))?;
            section.data = content.into();
        }
    }
    Ok(())
}

fn content(section: &Section<'_>, compression: Compression) -> Result<Vec<u8>> {
    let place = || format!("section '{}'", quote(section.name));
    let size = usize::try_from(compression.size).map_err(|_| Error::no_memory(place()))?;
    let mut bytes = alloc::zeroed(size, "expanded sections")?;
    let expanded = match compression.kind {
        elf::ELFCOMPRESS_ZLIB => zlib(&section.data, &mut bytes),
        elf::ELFCOMPRESS_ZSTD => zstd(&section.data, &mut bytes)?,
        CompressionType(kind) => {
            let message = format!("{}: expected compression by zlib (1) or zstd (2), found {kind}", place());
            return Err(Error::new(Status::Unsupported, message));
        }
    };
    if expanded != Some(size) {
        let message = format!("{}: expected {size} bytes of compressed content, found damage or another size", place());
        return Err(Error::corrupt(message).at(section.offset));
    }
    Ok(bytes)
}

/// Returns the size of the content; `None` if it is damaged or does not fit.
fn zlib(compressed: &[u8], bytes: &mut [u8]) -> Option<usize> {
    miniz_oxide::inflate::decompress_slice_iter_to_slice(bytes, [compressed].into_iter(), true, false).ok()
}

/// Like [`zlib`].
fn zstd(compressed: &[u8], bytes: &mut [u8]) -> Result<Option<usize>> {
    let window = WINDOW.max(bytes.len() as u64);
    // The decoder's own allocations cannot fail, so that it is certain now that they will not.
    drop(alloc::with_capacity::<u8>(window as usize, "expanded sections")?);
    let mut decoder = ruzstd::decoding::FrameDecoder::new();
    decoder.set_max_window_size(window);
    Ok(decoder.decode_all(compressed, bytes).ok())
}
