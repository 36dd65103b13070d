//! `artifact extract`: an artifact taken apart, in files that `pack` puts together again.

use std::fs;
use std::path::{Path, PathBuf};

use artifact::artifact::Artifact;
use artifact::error::{Error, Result, Status};
use artifact::storage::{Sync, replace};

use crate::input::{Input, Opening};
use crate::metadata::Document;
use crate::output::{Console, Done, Stop};

/// Writes an artifact's modules as ELF files, and everything else as metadata.json
///
/// DIR is made if it isn't there, and has to be empty. The modules are module-0.elf and so on, with as many digits as the last
/// one needs. An artifact with digests is verified first. Where `pack` couldn't make the same body again, that
/// is said.
#[derive(clap::Args)]
#[command(after_help = "\
metadata.json has the keys of `inspect --json`: producer, version, target, shared_flags, isa_flags, tunables, features, \
module_upvars and types, and attributes in base64 where there are any. Maps keep the order of the file. A name that \
stands there twice stands twice in metadata.json, which many programs can't read without loss.

Examples:
  artifact extract module.cwasm -d parts
  objdump -d parts/module-0.elf
  artifact pack -o again.cwasm --metadata parts/metadata.json --no-trailer parts/module-*.elf")]
pub struct Args {
    /// The artifact; `-` is standard input
    file: PathBuf,
    /// Where to write
    #[arg(short, long, value_name = "DIR")]
    directory: PathBuf,
    #[command(flatten)]
    opening: Opening,
}

impl Args {
    pub fn inputs(&self) -> Vec<&Path> {
        std::iter::once(self.file.as_path()).chain(self.opening.inputs()).collect()
    }
}

pub fn run(args: &Args, console: &mut Console) -> Done {
    let progress = console.working("extracting", &args.file)?;
    let same = extract(args)?;
    drop(progress);
    if let Err(error) = same {
        console.note(&args.file, &error.within("pack can't make the same body of this"))?;
    }
    Ok(())
}

/// Writes the files; then says whether the same body can be made of them.
fn extract(args: &Args) -> std::result::Result<Result<()>, Stop> {
    let rules = args.opening.rules()?;
    let Args { file, directory, .. } = args;
    let about_file = |error| Stop::File(file.clone(), error);
    let artifact = Input::open(file).and_then(|input| input.artifact(&rules)).map_err(about_file)?;
    check_digests(&artifact).map_err(about_file)?;
    make_empty(directory).map_err(|error| Stop::File(directory.clone(), error))?;

    let last = artifact.main_module();
    let digits = last.to_string().len();
    for index in 0..=last {
        let bytes = artifact.module_bytes(index).map_err(about_file)?;
        write(&directory.join(format!("module-{index:0digits$}.elf")), bytes)?;
    }
    // Last, so that a folder without it is seen to be unfinished.
    let json = Document::of(&artifact).and_then(|document| document.to_json()).map_err(about_file)?;
    write(&directory.join("metadata.json"), &json)?;
    Ok(pack_again(&artifact, &json))
}

/// Damage must not be packed again under digests of its own.
fn check_digests(artifact: &Artifact) -> Result<()> {
    if artifact.trailer().is_none() {
        return Ok(());
    }
    match artifact.verify() {
        // Metadata of an unknown layout is no damage, and every digest has been looked at by then.
        Err(error) if error.status() != Status::WrongVersion => Err(error),
        _ => Ok(()),
    }
}

fn make_empty(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).map_err(|error| Error::io("making the folder", &error))?;
    let mut entries = fs::read_dir(directory).map_err(|error| Error::io("reading the folder", &error))?;
    if entries.next().is_none() {
        return Ok(());
    }
    Err(Error::new(Status::InvalidArgument, "expected an empty folder or none, found one with something in it"))
}

fn write(path: &Path, bytes: &[u8]) -> Done {
    replace(path, &[bytes], Sync::No).map_err(|error| Stop::File(path.to_owned(), error))
}

/// Does what `pack` will do, and compares the body.
fn pack_again(artifact: &Artifact, json: &[u8]) -> Result<()> {
    let text = std::str::from_utf8(json).unwrap_or_default();
    let (mut builder, upvars) = Document::from_json(text)?.start()?;
    for index in 0..artifact.module_count() {
        builder.add_module(artifact.module_bytes(index)?)?;
    }
    builder.set_upvars(upvars)?;
    builder.clear_attributes();
    builder.set_trailer(false)?;
    let body = artifact.body()?;
    let mut theirs = body.iter().copied().flatten();
    let mut at = 0;
    builder.serialize_to(|piece| {
        let same = piece.iter().take_while(|ours| theirs.next() == Some(ours)).count();
        at += same as u64;
        if same == piece.len() { Ok(()) } else { Err(differs(artifact, at)) }
    })?;
    if theirs.next().is_none() { Ok(()) } else { Err(differs(artifact, at)) }
}

fn differs(artifact: &Artifact, offset: u64) -> Error {
    let modules = artifact.places().unwrap_or(&[]);
    let place = match modules.iter().position(|place| offset < place.end()) {
        Some(index) if modules.get(index).is_some_and(|place| place.offset <= offset) => format!("module {index}"),
        Some(index) => format!("link word or padding before module {index}"),
        None => "HEADER and Metadata".to_owned(),
    };
    Error::new(Status::Unsupported, format!("{place}: expected what pack writes, found other bytes")).at(offset)
}
