//! Loads every shared object that this machine has, without running it. None is corrupt that the dynamic linker takes, and what
//! verification finds no damage in isn't called damaged by loading.
//! `cargo test --test shared_objects -- --nocapture` prints how many of each outcome.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::Read;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::error::{Error, Status};
use artifact::format::module::Module;
use artifact::native::load::{Import, LoadOptions, load};

/// Fewer than this many would prove little. Most of a Debian machine's are in /usr/lib.
const MIN_OBJECTS: usize = 300;
const MAX_OBJECTS: usize = 4000;
/// After this time, what has been tested is enough, if it is [`MIN_OBJECTS`].
const MAX_TIME: Duration = Duration::from_secs(90);
const MAX_SIZE: u64 = 128 << 20;
/// Where shared objects are, most of them first. Position-independent executables count, too.
const FOLDERS: [&str; 9] =
    ["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib", "/opt", "/usr/libexec", "/usr/bin", "/usr/sbin"];

/// x86-64 or aarch64: the machine that the tests run on.
const MACHINE: u8 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };

/// Whether a file is a shared object (ELF64, little-endian, ET_DYN) for this machine.
fn is_shared_object(path: &Path) -> bool {
    let mut head = [0; 20];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head.starts_with(b"\x7fELF\x02\x01") && head[16..] == [3, 0, MACHINE, 0]
}

/// Finds shared objects in a folder and the folders in it, each file once.
fn find(folder: &Path, seen: &mut HashSet<(u64, u64)>, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            find(&path, seen, found);
        } else if metadata.is_file()
            && metadata.len() <= MAX_SIZE
            && found.len() < MAX_OBJECTS
            && seen.insert((metadata.dev(), metadata.ino()))
            && is_shared_object(&path)
        {
            found.push(path);
        }
    }
}

/// Whether the dynamic linker maps an object and finds its tables. `dlopen` would run its constructors.
fn dynamic_linker_takes(path: &Path) -> bool {
    let this = fs::read(std::env::current_exe().unwrap()).unwrap();
    let module = Module::parse(&this).unwrap();
    let (_, interpreter) = (1..module.section_count())
        .map(|index| module.section(index).unwrap())
        .find(|section| section.name == b".interp")
        .map(|section| (section.name, section.bytes(&this).unwrap()))
        .expect("an executable with .interp");
    let interpreter = std::str::from_utf8(interpreter).unwrap().trim_end_matches('\0');
    let status = Command::new(interpreter).arg("--verify").arg(path).output().expect("the dynamic linker").status;
    matches!(status.code(), Some(0 | 2))
}

/// What verifying and loading an object come to; no code of it runs.
fn outcome(image: &[u8], engine: &Engine) -> Result<(), (bool, Error)> {
    let mut builder = Builder::new(engine);
    builder.add_module(image).map_err(|error| (true, error))?;
    let bytes = builder.serialize().map_err(|error| (true, error))?;
    let artifact = Artifact::open_bytes(&bytes, None, &OpenOptions::default()).map_err(|error| (true, error))?;
    let verified = artifact.verify().map(drop);
    // A thread-local variable, which can stand for any symbol.
    thread_local!(static SOMEWHERE: u64 = const { 0 });
    let somewhere = SOMEWHERE.with(|it| std::ptr::from_ref(it).cast());
    let mut resolver = |missing: &mut [Import<'_>]| {
        missing.iter_mut().for_each(|import| import.address = somewhere);
        Ok(())
    };
    let mut options = LoadOptions::default();
    options.resolver = Some(&mut resolver);
    options.skip_constructors = true;
    // SAFETY: nothing of the object is called: its constructors aren't, and a handle of its own has no destructors registered. Its
    // unwind table is that of a compiler or linker, and has been checked.
    let loaded = unsafe { load(Arc::new(artifact), engine, options) }.map(drop);
    loaded.map_err(|error| (verified.is_ok(), error))?;
    verified.map_err(|error| (true, error))
}

#[test]
fn shared_objects_of_this_machine_are_not_called_corrupt() {
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return;
    }
    let (mut seen, mut found) = (HashSet::new(), Vec::new());
    for folder in FOLDERS {
        find(Path::new(folder), &mut seen, &mut found);
    }
    let engine = Engine::new();
    let (start, next, tested) = (Instant::now(), AtomicUsize::new(0), AtomicUsize::new(0));
    let tally: Mutex<BTreeMap<String, (usize, PathBuf)>> = Mutex::default();
    let wrong: Mutex<Vec<String>> = Mutex::default();
    let work = || {
        while let Some(path) = found.get(next.fetch_add(1, Ordering::Relaxed)) {
            if start.elapsed() > MAX_TIME && tested.load(Ordering::Relaxed) >= MIN_OBJECTS {
                return;
            }
            let Ok(image) = fs::read(path) else { continue };
            let result = outcome(&image, &engine);
            tested.fetch_add(1, Ordering::Relaxed);
            let complain = |what: &str| wrong.lock().unwrap().push(format!("{}: {what}", path.display()));
            let text = match &result {
                Ok(()) => "loaded".to_owned(),
                Err((was_sound, error)) => {
                    let is_wrong = ![Status::Unsupported, Status::NotAnArtifact].contains(&error.status());
                    if is_wrong && (*was_sound || dynamic_linker_takes(path)) {
                        complain(&error.to_string());
                    }
                    error.message().trim_start_matches("module 0: ").to_owned()
                }
            };
            tally.lock().unwrap().entry(text).or_insert((0, path.clone())).0 += 1;
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZeroUsize::get) {
            scope.spawn(work);
        }
    });
    let tested = tested.into_inner();
    println!("{tested} of {} shared objects in {:?}", found.len(), start.elapsed());
    for (text, (count, example)) in tally.into_inner().unwrap() {
        println!("{count:6}  {text}  ({})", example.display());
    }
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tested >= MIN_OBJECTS, "expected at least {MIN_OBJECTS} shared objects, found {tested}");
}
