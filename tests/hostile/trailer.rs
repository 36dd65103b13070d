//! Trailers with correct digests but arbitrary content, after a sound body.
//!
//! The input is the number of bytes of chunks (u16), the chunks, and changes: each an offset in the trailer (u16) and a byte.

use std::sync::OnceLock;

use super::elf::Shape;
use super::{FOOTER, FOOTER_MAGIC, MODULE_ENTRY, ROOT, TRAILER_MAGIC};
use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;

/// Returns a sound file whose trailer has no chunks.
fn base() -> &'static (Vec<u8>, Artifact) {
    static BASE: OnceLock<(Vec<u8>, Artifact)> = OnceLock::new();
    BASE.get_or_init(|| {
        let images = [Shape::default().image(), Shape { big_endian: true, align: 64, ..Shape::default() }.image()];
        let mut builder = Builder::new(&Engine::new());
        for image in &images {
            builder.add_module(image).expect("an image");
        }
        let bytes = builder.serialize().expect("an artifact");
        let artifact = Artifact::open_bytes(&bytes, None, &OpenOptions::default()).expect("an artifact");
        (bytes, artifact)
    })
}

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let (bytes, artifact) = base();
    let [low, high, rest @ ..] = data else { return };
    let (chunks, changes) = rest.split_at(usize::from(u16::from_le_bytes([*low, *high])).min(rest.len()));
    let start = (artifact.body_end() as usize).next_multiple_of(8);
    let chunks_at = start + TRAILER_MAGIC.len() + MODULE_ENTRY * artifact.module_count();
    let critical =
        (0..4).find(|critical| artifact::format::trailer::decode_attributes(chunks, (*critical).into()).is_ok());

    let mut file = bytes[..chunks_at].to_vec();
    file.extend(chunks);
    let root = file.len();
    file.extend(&bytes[chunks_at..]);
    file[root + 40..root + 48].copy_from_slice(&(chunks.len() as u64).to_le_bytes());
    // If no number of critical chunks makes the chunks valid, use 1, which makes opening decode them.
    file[root + 4] = critical.unwrap_or(1);
    let len = file.len();
    file[len - FOOTER..len - FOOTER + 8].copy_from_slice(&(root as u64).to_le_bytes());
    file[len - FOOTER + 8..len - FOOTER + 16].copy_from_slice(&(len as u64).to_le_bytes());
    assert!(file.ends_with(FOOTER_MAGIC) && len == root + ROOT + FOOTER);

    for change in changes.chunks_exact(3) {
        let at = start + usize::from(u16::from_le_bytes([change[0], change[1]])) % (len - start);
        file[at] = change[2];
    }
    super::reseal(&mut file);
    let opened = Artifact::open_bytes(&file, None, &OpenOptions::default());
    if changes.len() < 3 && chunks.len().is_multiple_of(8) {
        // Only the chunks may be invalid.
        assert_eq!(opened.is_ok(), critical.is_some());
    }
    let Ok(opened) = opened else { return };
    let attributes = opened.attributes().is_ok();
    assert!(attributes || opened.verify().is_err());
    for index in 0..opened.module_count() {
        let _ = opened.module(index).map(|module| module.section_count());
    }
}
