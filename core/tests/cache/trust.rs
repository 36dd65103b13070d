//! With trusted keys, only what one of them has signed is found.

use artifact::cache::Signer;
use artifact::native::load::{LoadOptions, load};
use artifact::{Integrity, PrivateKey, PublicKey};

use super::*;

fn trusting(key: &PrivateKey) -> Engine {
    let mut engine = Engine::host();
    engine.trust(key.public());
    engine
}

#[test]
fn only_signed_entries_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let own = Arc::new(PrivateKey::generate().unwrap());
    let engine = trusting(&own);
    let signing = |signer| options(|options| options.signer = Some(signer));
    // Somebody else's, unsigned and signed with another key.
    open(folder.path()).put(&key(1), &built(&Engine::host(), 1)).unwrap();
    let other = Arc::new(PrivateKey::generate().unwrap());
    let foreign = Cache::open(folder.path(), &Engine::host(), signing(Signer::Key(Arc::clone(&other)))).unwrap();
    assert_is(foreign.put(&key(2), &built(&Engine::host(), 2)), Outcome::Stored, 2);

    let cache = Cache::open(folder.path(), &engine, CacheOptions::default()).unwrap();
    assert_miss(cache.get(&key(1)), Outcome::Untrusted);
    assert_miss(cache.get(&key(2)), Outcome::Untrusted);
    // Without a key, nothing is stored. What was just made can be loaded all the same.
    let made = cache.get_or_make(&key(1), |builder| fill(builder, 3)).unwrap();
    assert_eq!(made.outcome, Outcome::NotStored);
    assert!(made.error.unwrap().message().contains("key to sign with"));
    // SAFETY: code that this test has made.
    let code = unsafe { load(made.artifact.unwrap(), &engine, LoadOptions::default()).unwrap() };
    assert!(code.symbol(0, b"fib").is_some());
    drop(code);
    assert_miss(cache.get(&key(1)), Outcome::Untrusted);

    let cache = Cache::open(folder.path(), &engine, signing(Signer::Key(Arc::clone(&own)))).unwrap();
    assert_is(cache.get_or_make(&key(1), |builder| fill(builder, 4)), Outcome::Made, 4);
    let found = cache.get(&key(1)).unwrap().artifact.unwrap();
    assert_eq!(found.integrity(), Integrity::Signed);
    // SAFETY: code that this test has made.
    drop(unsafe { load(found, &engine, LoadOptions::default()).unwrap() });
    let reader = Cache::open(folder.path(), &engine, options(|options| options.read_only = true)).unwrap();
    assert_is(reader.get(&key(1)), Outcome::Hit, 4);

    // A key that the engine doesn't trust could store only what is never found.
    let error = Cache::open(folder.path(), &engine, signing(Signer::Key(other))).unwrap_err();
    assert_eq!(error.status(), Status::InvalidArgument);
}

#[test]
fn a_key_elsewhere_signs_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let own = Arc::new(PrivateKey::generate().unwrap());
    let pem = own.to_pem().unwrap();
    let sign = move |message: &[u8], fails: bool| -> Result<(PublicKey, [u8; 64])> {
        if fails {
            return Err(artifact::Error::new(Status::Io, "no card in the reader"));
        }
        let key = PrivateKey::from_pem(&pem).unwrap();
        assert!(message.starts_with(b"libartifact signature 1\0"));
        let root: artifact::format::trailer::Root = zerocopy::FromBytes::read_from_bytes(&message[24..]).unwrap();
        Ok((key.public(), key.sign(&root).bytes))
    };
    let sign = Arc::new(sign);
    for fails in [false, true] {
        let sign = Arc::clone(&sign);
        let signer = Signer::Callback(Arc::new(move |message| sign(message, fails)));
        let cache =
            Cache::open(folder.path(), &trusting(&own), options(|options| options.signer = Some(signer))).unwrap();
        let number = u32::from(fails);
        let outcome = if fails { Outcome::NotStored } else { Outcome::Made };
        assert_is(cache.get_or_make(&key(number), |builder| fill(builder, number)), outcome, number);
        assert_eq!(entry(folder.path(), number).exists(), !fails);
    }
    let reader = Cache::open(folder.path(), &trusting(&own), CacheOptions::default()).unwrap();
    assert_is(reader.get(&key(0)), Outcome::Hit, 0);
}

#[test]
fn a_signed_folder_may_be_shared() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(open(folder.path()).trouble().unwrap().status(), Status::Untrusted);
    let own = Arc::new(PrivateKey::generate().unwrap());
    let options = options(|options| options.signer = Some(Signer::Key(Arc::clone(&own))));
    let cache = Cache::open(folder.path(), &trusting(&own), options).unwrap();
    assert_is(cache.get_or_make(&key(1), |builder| fill(builder, 1)), Outcome::Made, 1);
    fs::set_permissions(entry(folder.path(), 1), fs::Permissions::from_mode(0o666)).unwrap();
    assert_is(cache.get(&key(1)), Outcome::Hit, 1);
}
