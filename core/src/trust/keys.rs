//! Ed25519 keys and signatures (RFC 8032) over root records, of artifacts and of packs, and indexes of variants. Keys are read and written as openssl does: as PKCS#8 and
//! SubjectPublicKeyInfo (RFC 8410) in PEM.
//!
//! Verification is strict: encodings must be canonical, neither the key nor the first half of the signature may have small order,
//! and the equation is the one without the cofactor. OpenSSL therefore accepts every signature that is accepted here.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _, KeypairBytes,
};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use zerocopy::{FromBytes, IntoBytes};
use zeroize::Zeroizing;

use crate::error::{Error, Result, Status};
use crate::format::pack::{self, PackRoot};
pub use crate::format::trailer::SIGNATURE_CONTEXT as CONTEXT;
use crate::format::trailer::{Digest, Root, SIGNATURE_SIZE, Signature};
use crate::limits::MAX_SIGNATURES;

/// Maximum length of PEM text to parse in bytes. A key takes about two hundred.
const MAX_PEM: usize = 16 << 10;

fn wrong(what: &str, why: impl fmt::Display) -> Error {
    Error::new(Status::InvalidArgument, format!("{what}: {why}"))
}

const NO_POINT: &str = "expected the 32 bytes of an Ed25519 key, found bytes that encode no point";

/// Checks that PEM text has one block. openssl's readers take the first of several, so which key such a file means is unclear. Text
/// around the block, as openssl writes it, is fine.
fn check_single(what: &str, expected: &str, pem: &str) -> Result<()> {
    if pem.len() > MAX_PEM {
        return Err(wrong(what, format_args!("{expected}, found {} bytes", pem.len())));
    }
    match pem.matches("-----BEGIN ").count() {
        0 | 1 => Ok(()),
        count => Err(wrong(what, format_args!("{expected} and no other, found {count} PEM blocks"))),
    }
}

fn unencodable(what: &str, why: impl fmt::Display) -> Error {
    Error::new(Status::Internal, format!("{what}: {why}"))
}

/// What a signature is over.
pub trait Statement {
    /// What it is called in messages.
    const WHAT: &'static str;

    /// Returns the signed message. It begins with a context of its own, so that no statement can pass for one of another kind.
    fn message(&self) -> Vec<u8>;
}

impl Statement for Root {
    const WHAT: &'static str = "artifact's root record";

    fn message(&self) -> Vec<u8> {
        [&CONTEXT[..], self.as_bytes()].concat()
    }
}

impl Statement for PackRoot {
    const WHAT: &'static str = "pack's root record";

    fn message(&self) -> Vec<u8> {
        [pack::SIGNED.context, self.as_bytes()].concat()
    }
}

/// The statement about an index of variants: its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexRecord(pub Digest);

impl IndexRecord {
    /// The prefix of the signed message, NUL included; the digest follows.
    pub const CONTEXT: &[u8; 24] = b"libartifact fat index 1\0";
}

impl Statement for IndexRecord {
    const WHAT: &'static str = "index of variants";

    fn message(&self) -> Vec<u8> {
        [&IndexRecord::CONTEXT[..], &self.0].concat()
    }
}

/// The statement about a file that is not an artifact, as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileRecord {
    /// The length of the file in bytes.
    pub len: u64,
    /// The digest that the file would have as the first module of an artifact.
    pub digest: Digest,
}

impl FileRecord {
    /// The prefix of the signed message, NUL included; length and digest follow.
    pub const CONTEXT: &[u8; 24] = b"libartifact file record\0";
}

impl Statement for FileRecord {
    const WHAT: &'static str = "file's record";

    fn message(&self) -> Vec<u8> {
        [FileRecord::CONTEXT, &self.len.to_le_bytes()[..], &self.digest].concat()
    }
}

/// A private key, which signs. It is wiped from memory when it is dropped.
pub struct PrivateKey(SigningKey);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {})", self.public())
    }
}

impl PrivateKey {
    const WHAT: &'static str = "private key";

    /// Generates a key from the operating system's random numbers.
    ///
    /// # Errors
    ///
    /// IO if the operating system can't provide them.
    pub fn generate() -> Result<PrivateKey> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(|error| {
            let cause =
                error.raw_os_error().map_or(std::io::ErrorKind::Other.into(), std::io::Error::from_raw_os_error);
            Error::io("getting random numbers", &cause)
        })?;
        Ok(PrivateKey(SigningKey::from_bytes(&seed)))
    }

    /// Parses a key in PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if the text is not such a key, is encrypted, or is a key of another algorithm.
    pub fn from_pem(pem: &str) -> Result<PrivateKey> {
        const EXPECTED: &str = "expected an unencrypted Ed25519 key as PKCS#8 PEM (BEGIN PRIVATE KEY)";
        check_single(PrivateKey::WHAT, EXPECTED, pem)?;
        let key = SigningKey::from_pkcs8_pem(pem);
        key.map(PrivateKey).map_err(|error| wrong(PrivateKey::WHAT, format_args!("{EXPECTED}: {error}")))
    }

    /// Returns the key as PKCS#8 PEM, in the form without the public key that openssl writes. The text is wiped when dropped.
    ///
    /// # Errors
    ///
    /// INTERNAL: a key of this fixed form can be encoded.
    pub fn to_pem(&self) -> Result<Zeroizing<String>> {
        let key = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        key.to_pkcs8_pem(LineEnding::LF).map_err(|error| unencodable(PrivateKey::WHAT, error))
    }

    /// Returns the public key that verifies signatures of this key.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs a statement, such as a root record. Signatures are deterministic.
    #[must_use]
    pub fn sign(&self, statement: &impl Statement) -> Signature {
        Signature { key: self.public().bytes(), bytes: self.0.sign(&statement.message()).to_bytes() }
    }
}

/// A public key, which verifies signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    const WHAT: &'static str = "public key";

    /// Creates a key from its 32 bytes.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT unless they are the canonical encoding of a point of the curve that isn't of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<PublicKey> {
        let key = VerifyingKey::from_bytes(bytes);
        key.map_err(|_| wrong(PublicKey::WHAT, NO_POINT)).and_then(PublicKey::strong)
    }

    /// Parses a key in PEM, as `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if the text is not such a key or is a key of another algorithm; as [`PublicKey::from_bytes`].
    pub fn from_pem(pem: &str) -> Result<PublicKey> {
        const EXPECTED: &str = "expected an Ed25519 key as PEM (BEGIN PUBLIC KEY)";
        check_single(PublicKey::WHAT, EXPECTED, pem)?;
        let key = VerifyingKey::from_public_key_pem(pem);
        key.map_err(|error| wrong(PublicKey::WHAT, format_args!("{EXPECTED}: {error}"))).and_then(PublicKey::strong)
    }

    /// Rejects keys of small order, whose signatures prove nothing, and noncanonical encodings of a point.
    fn strong(key: VerifyingKey) -> Result<PublicKey> {
        if key.is_weak() {
            return Err(wrong(PublicKey::WHAT, "expected a key of full order, found one of small order"));
        }
        if key.to_edwards().compress().as_bytes() != key.as_bytes() {
            return Err(wrong(PublicKey::WHAT, NO_POINT));
        }
        Ok(PublicKey(key))
    }

    /// Returns the key as PEM.
    ///
    /// # Errors
    ///
    /// INTERNAL: a key of this fixed form can be encoded.
    pub fn to_pem(&self) -> Result<String> {
        self.0.to_public_key_pem(LineEnding::LF).map_err(|error| unencodable(PublicKey::WHAT, error))
    }

    /// Returns the key's 32 bytes.
    #[must_use]
    pub fn bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Returns whether `signature` is a valid signature of this key over a statement.
    #[must_use]
    pub fn verifies(&self, statement: &impl Statement, signature: &Signature) -> bool {
        self.0.verify_strict(&statement.message(), &signature.bytes.into()).is_ok()
    }
}

/// Formats the key's bytes in hexadecimal.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Parses a key from hexadecimal, the inverse of [`fmt::Display`].
impl FromStr for PublicKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<PublicKey> {
        let expected = || wrong(PublicKey::WHAT, "expected 64 hexadecimal digits, found other text");
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(expected()) };
        let byte = |pair: &[u8; 2]| {
            let digit = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8); // below 16
            Some(digit(pair[0])? << 4 | digit(pair[1])?)
        };
        let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).ok_or_else(expected)?;
        PublicKey::from_bytes(&bytes)
    }
}

/// Decodes detached signatures: a sequence of them, in the form that a trailer stores them in.
///
/// # Errors
///
/// UNTRUSTED if the bytes are no such sequence, or too many.
pub(crate) fn detached(bytes: &[u8]) -> Result<&[Signature]> {
    let found = <[Signature]>::ref_from_bytes(bytes).ok().filter(|found| found.len() <= MAX_SIGNATURES as usize);
    found.ok_or_else(|| {
        let message = format!(
            "detached signature: expected up to {MAX_SIGNATURES} times {SIGNATURE_SIZE} bytes, found {}",
            bytes.len()
        );
        Error::new(Status::Untrusted, message)
    })
}

/// Returns the first trusted key that has signed a statement, such as a root record.
///
/// # Errors
///
/// UNTRUSTED if no trusted key has: there is no signature, or only signatures of other keys or ones that don't match.
pub(crate) fn signer<'k, 's>(
    trusted: impl IntoIterator<Item = &'k PublicKey> + Clone,
    statement: &impl Statement,
    signatures: impl IntoIterator<Item = &'s Signature>,
) -> Result<&'k PublicKey> {
    let (mut claimed, mut count) = (false, 0);
    for signature in signatures {
        count += 1;
        let mut keys = trusted.clone().into_iter();
        let Some(key) = keys.find(|key| *key.0.as_bytes() == signature.key) else { continue };
        if key.verifies(statement, signature) {
            return Ok(key);
        }
        claimed = true;
    }
    let found = match (claimed, count) {
        (true, _) => "one of a trusted key that doesn't match".to_owned(),
        (false, 0) => "none".to_owned(),
        (false, 1) => "one of another key".to_owned(),
        (false, _) => format!("{count} of other keys"),
    };
    Err(Error::new(Status::Untrusted, format!("signature: expected one of a trusted key, found {found}")))
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    fn key(seed: u8) -> PrivateKey {
        PrivateKey(SigningKey::from_bytes(&[seed; 32]))
    }

    #[test]
    fn signer_finds_only_a_trusted_key_that_signed_this_record() {
        let (a, b) = (key(1), key(2));
        let root = Root::new_zeroed();
        let other = Root { modules: 1.into(), ..root };
        let trusted = [a.public(), b.public()];
        assert_eq!(signer(&trusted, &root, &[a.sign(&root)]).unwrap(), &a.public());
        assert_eq!(signer(&trusted, &root, &[key(3).sign(&root), b.sign(&root)]).unwrap(), &b.public());
        // An invalid signature of one trusted key does not prevent accepting a valid one of another.
        assert_eq!(signer(&trusted, &root, &[a.sign(&other), b.sign(&root)]).unwrap(), &b.public());
        let renamed = Signature { key: a.public().bytes(), ..b.sign(&root) };
        let cases = [
            (vec![], "none"),
            (vec![key(3).sign(&root)], "one of another key"),
            (vec![key(3).sign(&root), key(4).sign(&root)], "2 of other keys"),
            (vec![a.sign(&other)], "doesn't match"),
            (vec![renamed], "doesn't match"),
        ];
        for (signatures, words) in cases {
            let error = signer(&trusted, &root, &signatures).unwrap_err();
            assert_eq!(error.status(), Status::Untrusted);
            assert!(error.message().ends_with(words), "{error}");
        }
    }

    #[test]
    fn signatures_are_not_malleable() {
        let (key, root) = (key(7), Root::new_zeroed());
        let good = key.sign(&root);
        assert!(key.public().verifies(&root, &good));
        for bit in 0..512 {
            let mut bad = good;
            bad.bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.public().verifies(&root, &bad), "bit {bit}");
        }
        // S + L satisfies the equation, but is not a canonical encoding (RFC 8032, 5.1.7).
        const L: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let mut other = good;
        let mut carry = 0;
        for (byte, add) in other.bytes[32..].iter_mut().zip(L) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            (*byte, carry) = (sum as u8, sum >> 8);
        }
        assert_eq!(carry, 0);
        assert!(!key.public().verifies(&root, &other));
    }

    #[test]
    fn keys_of_small_order_are_rejected() {
        // The encoded y of all eight points: of order 1 and 2, of order 4, of order 8. The highest bit is the sign of x.
        let order_8 = [
            [
                0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
                0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
            ],
            [
                0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
                0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
            ],
        ];
        let near = |least: u8, rest: u8| {
            let mut bytes = [rest; 32];
            (bytes[0], bytes[31]) = (least, rest & 0x7f);
            bytes
        };
        let [one, minus_one, zero] = [near(1, 0), near(0xec, 0xff), near(0, 0)];
        let negative = |mut bytes: [u8; 32]| {
            bytes[31] |= 0x80;
            bytes
        };
        let [a, b] = order_8;
        for bytes in [one, minus_one, zero, negative(zero), a, negative(a), b, negative(b)] {
            let error = PublicKey::from_bytes(&bytes).unwrap_err();
            assert!(error.message().contains("small order"), "{bytes:?}: {error}");
        }
        // Noncanonical encodings of the same points: y of p and more, and the sign bit although x is 0.
        let [p, p_and_one] = [near(0xed, 0xff), near(0xee, 0xff)];
        for bytes in [p, negative(p), p_and_one, negative(p_and_one), negative(one), negative(minus_one)] {
            assert!(PublicKey::from_bytes(&bytes).is_err(), "{bytes:?}");
        }
        assert!(PublicKey::from_bytes(&[2; 32]).is_err(), "no point of the curve");
    }

    #[test]
    fn pem_round_trips() {
        let key = PrivateKey::generate().unwrap();
        assert_ne!(key.public(), PrivateKey::generate().unwrap().public());
        let again = PrivateKey::from_pem(&key.to_pem().unwrap()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(PublicKey::from_pem(&key.public().to_pem().unwrap()).unwrap(), key.public());
        assert_eq!(PublicKey::from_bytes(&key.public().bytes()).unwrap(), key.public());
        let (private, public) = (key.to_pem().unwrap(), key.public().to_pem().unwrap());
        let other = PrivateKey::generate().unwrap();
        let (next_private, next_public) = (other.to_pem().unwrap(), other.public().to_pem().unwrap());
        for second in [&*next_private, &next_public] {
            for pair in [private.to_string() + second, second.to_owned() + &private] {
                assert!(PrivateKey::from_pem(&pair).unwrap_err().message().contains("2 PEM blocks"));
            }
            for pair in [public.clone() + second, second.to_owned() + &public] {
                assert!(PublicKey::from_pem(&pair).unwrap_err().message().contains("2 PEM blocks"));
            }
        }
        let long = "-".repeat(MAX_PEM + 1);
        for pem in
            ["", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", &key.public().to_pem().unwrap(), &long]
        {
            assert_eq!(PrivateKey::from_pem(pem).unwrap_err().status(), Status::InvalidArgument);
        }
        assert_eq!(PublicKey::from_pem(&key.to_pem().unwrap()).unwrap_err().status(), Status::InvalidArgument);
        assert!(!format!("{key:?}").contains(&*key.to_pem().unwrap()));
    }

    /// RFC 8032, 7.1, test 1, with the seed as RFC 8410 wraps it.
    #[test]
    fn known_key() {
        let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
        let key = PrivateKey::from_pem(pem).unwrap();
        assert_eq!(key.public().to_string(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(&*key.to_pem().unwrap(), pem);
    }
}
