//! A signed artifact with changed bytes, with and without recomputed digests. An engine that trusts the signer must only get what
//! was signed.

use std::sync::{Arc, OnceLock};

use super::elf::Shape;
use artifact::artifact::{Artifact, Integrity, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::trust::keys::PrivateKey;

struct Base {
    bytes: Vec<u8>,
    images: Vec<Vec<u8>>,
    engine: Engine,
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let images = vec![Shape::default().image(), Shape { big_endian: true, align: 64, ..Shape::default() }.image()];
        let (key, other) = (PrivateKey::generate().expect("a key"), PrivateKey::generate().expect("a key"));
        let mut engine = Engine::new();
        let public = key.public();
        let mut builder = Builder::new(&engine);
        for image in &images {
            builder.add_module(image).expect("an image");
        }
        builder.set_attribute("name", b"value").expect("an attribute");
        builder.add_key(&Arc::new(other)).expect("a key");
        builder.add_key(&Arc::new(key)).expect("a key");
        let bytes = builder.serialize().expect("an artifact");
        drop(builder);
        engine.trust(public);
        Base { bytes, images, engine }
    })
}

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let Base { bytes, images, engine } = base();
    let [kind, changes @ ..] = data else { return };
    let mut file = bytes.clone();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % file.len();
        // Offsets from the end hit mostly the trailer.
        let at = if kind & 1 == 0 { file.len() - 1 - at % 700 } else { at };
        file[at] = change[2];
    }
    if kind & 2 != 0 {
        super::reseal(&mut file);
    }
    let mut options = OpenOptions::default();
    (options.copy, options.verify) = (kind & 4 != 0, kind & 8 != 0);
    let Ok(opened) = Artifact::open_bytes(&file, Some(engine), &options) else { return };
    assert_eq!(opened.integrity(), Integrity::Signed);
    assert_eq!(opened.module_count(), images.len());
    for (index, image) in images.iter().enumerate() {
        if let Ok(found) = opened.module_bytes(index) {
            assert_eq!(found, image);
        }
    }
    if let Ok(value) = opened.attribute("name") {
        assert_eq!(value, b"value");
    }
    assert_eq!(opened.metadata().expect("settings").target, engine.target());
}
