//! Writing artifacts: the options that `pack` and `rewrite` share, and saving to a file or standard output.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use artifact::builder::Builder;
use artifact::error::{Error, Result as LibraryResult};
use artifact::storage::Sync;
use artifact::trust::keys::PrivateKey;

use crate::failure::{Failure, system_error};
use crate::input::{self, is_standard};
use crate::output::{CommandResult, Console};

/// The options of commands that write an artifact.
#[derive(clap::Args)]
pub struct WriteArgs {
    /// File to write; `-` is standard output
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Write the body only, without digests, attributes and signatures
    #[arg(long, conflicts_with_all = ["attributes", "keys"])]
    no_trailer: bool,
    /// Set an attribute; may be repeated
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
    /// Sign with this private key, a PEM file (PKCS#8); may be repeated
    #[arg(long = "sign", value_name = "KEY")]
    keys: Vec<PathBuf>,
}

impl WriteArgs {
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// The files that are read.
    pub fn inputs(&self) -> &[PathBuf] {
        &self.keys
    }

    /// Applies the options to a builder.
    pub fn apply(&self, builder: &mut Builder<'_>) -> Result<(), Failure> {
        self.apply_trailer(builder).map_err(|error| self.cannot_write(error))?;
        for file in &self.keys {
            let key = Arc::new(private_key(file)?);
            builder.add_key(&key).map_err(|error| Failure::in_file(file, error))?;
        }
        Ok(())
    }

    fn apply_trailer(&self, builder: &mut Builder<'_>) -> LibraryResult<()> {
        if self.no_trailer {
            builder.clear_attributes();
            builder.set_trailer(false)?;
        }
        self.attributes.iter().try_for_each(|(name, value)| builder.set_attribute(name, value.as_bytes()))
    }

    /// Saves the artifact, atomically if the output is a file.
    pub fn save(&self, builder: &Builder<'_>, console: &mut Console) -> CommandResult {
        let _progress = console.progress("writing", &self.output)?;
        if is_standard(&self.output) {
            let written = console.expect_binary_output().and_then(|()| {
                builder.serialize_to(|piece| console.write_all(piece).map_err(|error| system_error(&error)))
            });
            return Ok(written.map_err(|error| self.cannot_write(error))?);
        }
        let saved = builder.serialize_to_file(&self.output, Sync::Yes);
        Ok(saved.map_err(|error| Failure::storage("write", &self.output, error))?)
    }

    pub fn cannot_write(&self, error: Error) -> Failure {
        Failure::cannot("write", &self.output, error)
    }
}

fn attribute(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub fn private_key(file: &Path) -> Result<PrivateKey, Failure> {
    input::parse(file, "private key", PrivateKey::from_pem)
}
