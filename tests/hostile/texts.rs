//! Texts that a host reads: engines in JSON, keys in PEM and hexadecimal, detached signatures. What is read can be written and read
//! again; a detached signature counts only if it is the one that the key's owner made.

use std::sync::OnceLock;

use super::elf::Shape;
use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::error::{Error, Status};
use artifact::trust::keys::{PrivateKey, PublicKey};

const SIGNATURE: usize = 96;

struct Base {
    bytes: Vec<u8>,
    engine: Engine,
    signature: Vec<u8>,
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let mut engine = Engine::new();
        let mut builder = Builder::new(&engine);
        let image = Shape::default().image();
        builder.add_module(&image).expect("an image");
        builder.set_trailer(false).expect("no attributes");
        let bytes = builder.serialize().expect("an artifact");
        drop(builder);
        let opened = Artifact::open_bytes(&bytes, None, &OpenOptions::default()).expect("just written");
        let key = PrivateKey::generate().expect("a key");
        let made = key.sign(&opened.root_record().expect("a sound file"));
        engine.trust(key.public());
        Base { bytes, engine, signature: [&made.key[..], &made.bytes].concat() }
    })
}

/// Runs the target on one input: a byte that says what it is, and the text.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    match (kind % 3, std::str::from_utf8(rest)) {
        (0, Ok(text)) => engine(text),
        (1, Ok(text)) => keys(text),
        (2, _) => signature(kind / 3, rest),
        _ => {}
    }
}

fn check_refusal(error: &Error) {
    assert_eq!(error.status(), Status::InvalidArgument, "{error}");
    assert!(!error.message().contains(char::is_control) && error.message().len() < 4096, "{error}");
}

fn engine(text: &str) {
    match Engine::from_json(text) {
        Ok(engine) => {
            let again = Engine::from_json(&engine.to_json().expect("JSON")).expect("what was just written");
            assert_eq!(again, engine);
            assert_eq!(again.fingerprint(), engine.fingerprint());
        }
        Err(error) => check_refusal(&error),
    }
}

fn keys(text: &str) {
    match PublicKey::from_pem(text) {
        Ok(key) => assert_eq!(PublicKey::from_pem(&key.to_pem().expect("PEM")).expect("what was just written"), key),
        Err(error) => check_refusal(&error),
    }
    match PrivateKey::from_pem(text) {
        Ok(key) => {
            let again = PrivateKey::from_pem(&key.to_pem().expect("PEM")).expect("what was just written");
            assert_eq!(again.public(), key.public());
        }
        Err(error) => check_refusal(&error),
    }
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!(key.to_string().parse::<PublicKey>().expect("what was just written"), key);
    }
}

/// Edits the signature in one of several ways, and opens the file with it.
fn signature(how: u8, edits: &[u8]) {
    let Base { bytes, engine, signature } = base();
    let given = match how % 4 {
        0 => edits.to_vec(),
        1 => [edits, signature].concat(),
        2 => [signature, edits].concat(),
        _ => {
            let mut changed = signature.clone();
            edits.as_chunks::<2>().0.iter().for_each(|[at, value]| changed[usize::from(*at) % SIGNATURE] = *value);
            changed
        }
    };
    let genuine = given.len() % SIGNATURE == 0 && given.chunks(SIGNATURE).any(|one| one == signature);
    let mut options = OpenOptions::default();
    (options.signature, options.copy) = (&given, how & 4 != 0);
    match Artifact::open_bytes(bytes, Some(engine), &options) {
        Ok(_) => assert!(genuine, "a signature that the signer did not make counts"),
        Err(error) => {
            assert_eq!(error.status(), Status::Untrusted, "{error}");
            assert!(!genuine || given.len() > 64 * SIGNATURE, "the signer's own signature does not count: {error}");
        }
    }
}
