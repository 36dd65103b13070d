//! `artifact keygen` and `artifact sign`: key pairs and detached signatures. `rewrite` and `pack` embed signatures.

use std::io::Write;
use std::path::{Path, PathBuf};

use artifact::error::{Error, Status};
use artifact::storage::{self, Sync};
use artifact::trust::keys::PrivateKey;
use zerocopy::IntoBytes;

use crate::cwasm;
use crate::failure::Failure;
use crate::input::{Input, OpenArgs, is_standard, same_file};
use crate::output::{CommandResult, Console};
use crate::write::private_key;

/// Generate an Ed25519 key pair for signing
///
/// Writes the private key to OUT, and the public key to PUBLIC or standard output. OUT must not exist, and only its owner can
/// read it. The public key is for --trust of other commands. Both are PEM files, as OpenSSL writes them.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  artifact keygen -o release.key > release.pub
  artifact keygen -o release.key --public release.pub
  openssl pkey -in release.key -pubout        # prints the public key again")]
pub struct Keygen {
    /// File to write the private key to, in PEM (PKCS#8)
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// File to write the public key to, in PEM [default: standard output]
    #[arg(long, value_name = "PUBLIC")]
    public: Option<PathBuf>,
}

/// Create a detached signature of an artifact, or of a file of Wasmtime 3 or newer
///
/// The artifact itself stays unchanged. Of a file of several targets, the index is signed, which binds all variants. Pass the
/// signature to other commands with --signature. To embed a signature, use `artifact rewrite --sign KEY`, or for a file of several
/// targets `artifact fat --sign KEY`.
#[derive(clap::Args)]
#[command(after_help = "\
The signature file has 96 bytes: the public key (32 bytes) and the Ed25519 signature (64 bytes). Signature files can be \
concatenated.

Examples:
  artifact sign module.cwasm --key release.key -o module.cwasm.sig
  artifact verify module.cwasm --trust release.pub --signature module.cwasm.sig")]
pub struct Sign {
    /// Artifact to sign; `-` is standard input
    file: PathBuf,
    /// Private key to sign with, a PEM file (PKCS#8)
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// File to write the signature to; `-` is standard output
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    open: OpenArgs,
}

impl Sign {
    pub fn inputs(&self) -> Vec<&Path> {
        self.open.inputs([&self.file, &self.key])
    }
}

pub fn generate(args: &Keygen, console: &mut Console) -> CommandResult {
    let Keygen { output, public } = args;
    let public_file = public.as_deref().filter(|path| !is_standard(path));
    if is_standard(output) || public_file.is_some_and(|path| same_file(path, output)) {
        return Err(refuse_to_write(output, "a private key needs a file of its own").into());
    }
    let pair = PrivateKey::generate().and_then(|key| Ok((key.to_pem()?, key.public().to_pem()?)));
    let (private_pem, public_pem) = pair.map_err(|error| Failure::cannot("create", output, error))?;
    storage::create(output, private_pem.as_bytes(), storage::PRIVATE_MODE)
        .map_err(|error| Failure::storage("create", output, error))?;
    match public_file {
        Some(path) => write(path, public_pem.as_bytes()),
        None => Ok(console.write_all(public_pem.as_bytes())?),
    }
}

pub fn sign(args: &Sign, console: &mut Console) -> CommandResult {
    let Sign { file, key: key_file, output, open } = args;
    let key = private_key(key_file)?;
    let progress = console.progress("signing", file)?;
    let (rules, input) = (open.rules()?, Input::open(file)?);
    let signature = match cwasm::open(&input, &rules)? {
        Some(found) => {
            found.check_origin(rules.engine.as_ref())?;
            found.sign(&key)?
        }
        None => input.artifact(&rules)?.sign(&key).map_err(|error| Failure::in_file(file, error))?,
    };
    drop(progress);
    if is_standard(output) {
        console.expect_binary_output().map_err(|error| Failure::cannot("write", output, error))?;
        return Ok(console.write_all(signature.as_bytes())?);
    }
    if [file, key_file].into_iter().any(|input| !is_standard(input) && same_file(input, output)) {
        let message = "it is an input (to embed the signature, use `artifact rewrite --sign`)";
        return Err(refuse_to_write(output, message).into());
    }
    write(output, signature.as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> CommandResult {
    Ok(storage::replace(path, &[bytes], Sync::Yes).map_err(|error| Failure::storage("write", path, error))?)
}

fn refuse_to_write(path: &Path, message: &str) -> Failure {
    Failure::cannot("write", path, Error::new(Status::InvalidArgument, message))
}
