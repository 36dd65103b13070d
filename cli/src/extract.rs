//! `artifact extract`: takes an artifact apart, into files from which `pack` can build it again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use artifact::artifact::Artifact;
use artifact::error::{Error, Result as LibraryResult, Status};
use artifact::storage::Folder;

use crate::failure::Failure;
use crate::input::OpenArgs;
use crate::metadata::Document;
use crate::output::{CommandResult, Console};
use crate::variants::expect_one;

/// Extract the modules of an artifact as ELF files, and everything else as metadata.json
///
/// DIR is created if it does not exist, and must be empty otherwise. The modules are named module-0.elf, module-1.elf and so
/// on, zero-padded to the same length. An artifact with digests is verified first. A warning is printed if `artifact pack`
/// cannot reproduce the body from the extracted files.
#[derive(clap::Args)]
#[command(after_help = "\
metadata.json has the keys producer, version, target, shared_flags, isa_flags, tunables, features, module_upvars and types, \
as `artifact inspect --json` prints them, and attributes, in base64, if the artifact has any. Maps keep the order of the file \
and duplicate names, which many JSON parsers drop.

Examples:
  artifact extract module.cwasm -d parts
  objdump -d parts/module-0.elf
  artifact pack -o again.cwasm --metadata parts/metadata.json --no-trailer parts/module-*.elf")]
pub struct Args {
    /// Artifact to extract; `-` is standard input
    file: PathBuf,
    /// Directory to write the files to
    #[arg(short, long, value_name = "DIR")]
    directory: PathBuf,
    #[command(flatten)]
    open: OpenArgs,
}

impl Args {
    pub fn inputs(&self) -> Vec<&Path> {
        self.open.inputs([&self.file])
    }
}

pub fn run(args: &Args, console: &mut Console) -> CommandResult {
    let progress = console.progress("extracting", &args.file)?;
    let reproducible = extract(args)?;
    drop(progress);
    if let Err(error) = reproducible {
        console.warn(&args.file, error.within("`artifact pack` cannot reproduce the body"))?;
    }
    Ok(())
}

/// Writes the files. The inner result says whether `pack` can reproduce the body from them.
fn extract(args: &Args) -> Result<LibraryResult<()>, Failure> {
    let Args { file, directory, open } = args;
    let in_file = |error| Failure::in_file(file, error);
    let artifact = open.artifact(file)?;
    expect_one(&artifact, "artifact thin").map_err(in_file)?;
    check_digests(&artifact).map_err(in_file)?;
    let folder = create_empty(directory)?;

    let main = artifact.main_module();
    let digits = main.to_string().len();
    for index in 0..=main {
        let bytes = artifact.module_bytes(index).map_err(in_file)?;
        write(&folder, directory, &format!("module-{index:0digits$}.elf"), bytes)?;
    }
    // Written last: a directory without it is incomplete.
    let json = Document::from_artifact(&artifact).and_then(|document| document.to_json()).map_err(in_file)?;
    write(&folder, directory, "metadata.json", &json)?;
    Ok(compare_with_packed(&artifact, &json))
}

/// Fails if the artifact is damaged: packing damaged modules would give them valid digests.
fn check_digests(artifact: &Artifact) -> LibraryResult<()> {
    if artifact.trailer().is_none() {
        return Ok(());
    }
    match artifact.verify() {
        // WRONG_VERSION means settings of an unknown layout, which is no damage; the digests have been checked before.
        Err(error) if error.status() != Status::WrongVersion => Err(error),
        _ => Ok(()),
    }
}

fn create_empty(directory: &Path) -> Result<Folder, Failure> {
    let cannot = |action| move |error: io::Error| Failure::io(action, directory, &error);
    fs::create_dir_all(directory).map_err(cannot("create"))?;
    let folder = Folder::open(directory).map_err(cannot("read"))?;
    if folder.is_empty().map_err(cannot("read"))? {
        return Ok(folder);
    }
    Err(Failure::in_file(directory, Error::new(Status::InvalidArgument, "the directory is not empty")))
}

/// Writes a new file. If another user has put a file or link of that name there meanwhile, that is an error.
fn write(folder: &Folder, directory: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    folder.add(name, bytes).map_err(|error| Failure::io("create", &directory.join(name), &error))
}

/// Builds the body as `pack` would, and compares it with the artifact's.
fn compare_with_packed(artifact: &Artifact, json: &[u8]) -> LibraryResult<()> {
    let text = std::str::from_utf8(json).unwrap_or_default();
    let (mut builder, upvars) = Document::from_json(text)?.into_builder()?;
    for index in 0..artifact.module_count() {
        builder.add_module(artifact.module_bytes(index)?)?;
    }
    builder.set_upvars(upvars)?;
    builder.clear_attributes();
    builder.set_trailer(false)?;
    let body = artifact.body()?;
    let mut expected = body.iter().copied().flatten();
    let mut offset = 0;
    builder.serialize_to(|piece| {
        let equal = piece.iter().take_while(|byte| expected.next() == Some(byte)).count();
        offset += equal as u64;
        if equal == piece.len() { Ok(()) } else { Err(difference(artifact, offset)) }
    })?;
    if expected.next().is_none() { Ok(()) } else { Err(difference(artifact, offset)) }
}

/// The error for the first byte that differs.
fn difference(artifact: &Artifact, offset: u64) -> Error {
    let modules = artifact.module_ranges().unwrap_or(&[]);
    let place = match modules.iter().position(|module| offset < module.end()) {
        Some(index) if modules.get(index).is_some_and(|module| module.offset <= offset) => format!("module {index}"),
        Some(index) => format!("link word or padding before module {index}"),
        None => "HEADER and Metadata".to_owned(),
    };
    let message = format!("{place}: expected the bytes that `artifact pack` writes, found different ones");
    Error::new(Status::Unsupported, message).at(offset)
}
