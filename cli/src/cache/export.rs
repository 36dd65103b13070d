//! `artifact cache pack`: a pack of all entries.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use artifact::cache::Signer;
use artifact::cache::pack::PackOptions;
use artifact::error::Error;
use serde::Serialize;

use super::{FolderArgs, TrustArgs, collect_failures, open};
use crate::failure::Failure;
use crate::input::is_standard;
use crate::output::{CommandResult, Console, Style};
use crate::write::private_key;

/// Write the entries of a cache to a pack: one file that a program ships
///
/// A cache searches packs after its folder. Each entry is verified before it is packed; what is damaged is left out, with an error. The
/// same entries and keys make the same file. OUT is replaced atomically.
#[derive(clap::Args)]
#[command(after_help = "\
With --json, prints {\"file\", \"entries\", \"bytes\"}: how many entries the pack has, and their size without the table.

Hosts with pages larger than --align copy code into memory that they could map otherwise. The default suits pages of 4 KiB.

Examples:
  artifact cache pack ~/.cache/compiler -o prefilled.pack
  artifact cache pack ~/.cache/compiler -o prefilled.pack --key release.key
  artifact verify --trust release.pub prefilled.pack")]
pub struct Pack {
    #[command(flatten)]
    folder: FolderArgs,
    /// File to write
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Sign the pack, and with it all entries, with this private key, a PEM file (PKCS#8); may be repeated
    #[arg(long = "key", value_name = "KEY")]
    pub keys: Vec<PathBuf>,
    /// Let each entry begin at a multiple of this many bytes, a power of two
    #[arg(long, value_name = "BYTES", default_value_t = 4096, value_parser = align)]
    align: u64,
    #[command(flatten)]
    pub trust: TrustArgs,
}

#[derive(Serialize)]
struct Written<'a> {
    file: &'a str,
    entries: u64,
    bytes: u64,
}

fn align(text: &str) -> Result<u64, &'static str> {
    let number = text.parse().ok().filter(|number| artifact::format::pack::is_alignment(*number));
    number.ok_or("expected a power of two from 8 to 2097152")
}

pub fn pack(args: &Pack, console: &mut Console) -> CommandResult {
    let Pack { folder: FolderArgs { folder, json }, output, keys, align, trust } = args;
    if is_standard(output) {
        let error = Error::new(artifact::Status::InvalidArgument, "a pack is replaced as a whole, and needs a file");
        return Err(Failure::cannot("write", output, error).into());
    }
    let mut options = PackOptions::default();
    options.align = *align;
    for key in keys {
        options.signers.push(Signer::Key(Arc::new(private_key(key)?)));
    }
    let failures = Arc::new(Mutex::new(Vec::new()));
    let on_event = collect_failures(&failures);
    let cache = open(folder, &trust.engine()?, |options| options.on_event = Some(on_event))?;
    let progress = console.progress("packing", folder)?;
    let packed = cache.export(output, &options).map_err(|error| Failure::storage("write", output, error));
    drop(progress);
    for failure in failures.lock().map(|mut failures| std::mem::take(&mut *failures)).unwrap_or_default() {
        console.error(&failure)?;
    }
    let packed = packed?;
    if *json {
        let file = &output.to_string_lossy();
        return console.json(&Written { file, entries: packed.entries, bytes: packed.bytes });
    }
    let text = format!("{} entries of {} bytes packed", packed.entries, packed.bytes);
    Ok(console.line(output, &text, Style::Success)?)
}
