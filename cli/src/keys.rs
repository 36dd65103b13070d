//! `artifact keygen` and `artifact sign`: keys, and signatures beside files. Signatures inside files are `rewrite`'s.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use artifact::builder::Builder;
use artifact::error::{Error, Result, Status};
use artifact::storage::{self, Sync};
use artifact::trust::keys::PrivateKey;
use zerocopy::IntoBytes;

use crate::input::{self, Input, Opening, is_standard};
use crate::output::{Console, Done, Stop};

/// Makes a key pair to sign with: Ed25519, as openssl writes it
///
/// The private key goes to OUT, which only its owner can read and which must not be there yet; the public key, for
/// `--trust`, to standard output or to PUBLIC.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  artifact keygen -o release.key > release.pub
  artifact keygen -o release.key --public release.pub
  openssl pkey -in release.key -pubout        prints the public key again")]
pub struct Keygen {
    /// Where the private key goes: PKCS#8 PEM
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Where the public key goes: PEM
    #[arg(long, value_name = "PUBLIC")]
    public: Option<PathBuf>,
}

/// Signs artifacts without touching them
///
/// The signature stands in a file of its own, for `--signature`. To sign inside the file: `artifact rewrite --sign KEY`.
#[derive(clap::Args)]
#[command(after_help = "\
The signature is 32 bytes of public key and 64 of Ed25519 signature; several may stand one behind the other.

Examples:
  artifact sign module.cwasm --key release.key -o module.cwasm.sig
  artifact verify module.cwasm --trust release.pub --signature module.cwasm.sig")]
pub struct Sign {
    /// The artifact; `-` is standard input
    file: PathBuf,
    /// The private key: PKCS#8 PEM
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// Where the signature goes; `-` is standard output
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    opening: Opening,
}

impl Sign {
    pub fn inputs(&self) -> Vec<&Path> {
        [self.file.as_path(), &self.key].into_iter().chain(self.opening.inputs()).collect()
    }
}

pub fn generate(args: &Keygen, console: &mut Console) -> Done {
    let about = |path: &Path, result: Result<()>| result.map_err(|error| Stop::File(path.to_owned(), error));
    let public_at = args.public.as_deref().filter(|path| !is_standard(path));
    if is_standard(&args.output) || public_at.is_some_and(|path| input::same_file(path, &args.output)) {
        return about(&args.output, Err(wrong("expected a file of its own for the private key")));
    }
    let pair = PrivateKey::generate().and_then(|key| Ok((key.to_pem()?, key.public().to_pem()?)));
    let (private, public) = pair.map_err(|error| Stop::File(args.output.clone(), error))?;
    about(&args.output, storage::create(&args.output, private.as_bytes(), storage::PRIVATE_MODE))?;
    match public_at {
        Some(path) => about(path, storage::replace(path, &[public.as_bytes()], Sync::Yes)),
        None => Ok(console.write_all(public.as_bytes())?),
    }
}

pub fn sign(args: &Sign, console: &mut Console) -> Done {
    let key = private(&args.key)?;
    let rules = args.opening.rules()?;
    let progress = console.working("signing", &args.file)?;
    let signature = Input::open(&args.file)
        .and_then(|input| input.artifact(&rules))
        .and_then(|artifact| artifact.root_record())
        .map(|root| key.sign(&root))
        .map_err(|error| Stop::File(args.file.clone(), error))?;
    drop(progress);
    let read = [&args.file, &args.key].into_iter().filter(|read| !is_standard(read));
    if !is_standard(&args.output) && read.into_iter().any(|read| input::same_file(read, &args.output)) {
        let message =
            "expected another file for the signature, found one that is read (to sign inside: artifact rewrite --sign)";
        return Err(Stop::File(args.output.clone(), wrong(message)));
    }
    if is_standard(&args.output) {
        console.takes_bytes().map_err(|error| Stop::File(PathBuf::from("standard output"), error))?;
        return Ok(console.write_all(signature.as_bytes())?);
    }
    storage::replace(&args.output, &[signature.as_bytes()], Sync::Yes)
        .map_err(|error| Stop::File(args.output.clone(), error))
}

fn wrong(message: &str) -> Error {
    Error::new(Status::InvalidArgument, message)
}

/// Makes a builder sign with the private keys in these files.
pub fn sign_with(builder: &mut Builder<'_>, files: &[PathBuf]) -> Done {
    for file in files {
        let key = Arc::new(private(file)?);
        builder.add_key(&key).map_err(|error| Stop::File(file.clone(), error))?;
    }
    Ok(())
}

fn private(file: &Path) -> std::result::Result<PrivateKey, Stop> {
    input::secret(file, "private key", PrivateKey::from_pem)
}
