//! Large C and C++ projects: links every object by itself, and compares the number of objects for each reason of a refusal with what
//! it was; then links each whole project, loads it, makes it work, and compares with what `dlopen` does with what the system linker
//! makes of the same objects.

use std::ffi::{CStr, CString, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::native::link::{Object, Options, link};
use artifact::native::load::{LoadOptions, load};

mod drivers;
#[path = "../../common/objects.rs"]
mod objects;

use drivers::Driver;
use objects::{Tally, members};

/// The projects: the archive that the package makes, what is run, and C functions by which it is reached where its own are hidden.
const PROJECTS: [(&str, Driver, &str); 8] = [
    ("libsqlite3.a", drivers::sqlite, ""),
    ("libzstd.a", drivers::zstd, ZSTD),
    ("libluajit.a", drivers::luajit, ""),
    ("libquickjs.a", drivers::quickjs, ""),
    ("libcrypto.a", drivers::openssl, ""),
    ("libembedded_harfbuzz.a", drivers::harfbuzz, ""),
    ("libmimalloc.a", drivers::mimalloc, ""),
    ("libjemalloc_pic.a", drivers::jemalloc, ""),
];

const ZSTD: &str = "
    unsigned long ZSTD_compress(void *, unsigned long, const void *, unsigned long, int);
    unsigned long ZSTD_decompress(void *, unsigned long, const void *, unsigned long);
    unsigned long compress(void *to, unsigned long room, const void *from, unsigned long len, int level) {
        return ZSTD_compress(to, room, from, len, level);
    }
    unsigned long decompress(void *to, unsigned long room, const void *from, unsigned long len) {
        return ZSTD_decompress(to, room, from, len);
    }";

/// Returns the newest archive of this name that a dependency's build script has made.
fn archive(name: &str) -> PathBuf {
    // This test is PROFILE/deps/projects-HASH, and build scripts write to PROFILE/build/PACKAGE-HASH/out.
    let test = std::env::current_exe().unwrap();
    let mut folders = vec![test.ancestors().nth(2).unwrap().join("build")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && entry.file_name() == name {
                found.push((entry.metadata().unwrap().modified().unwrap(), entry.path()));
            }
        }
    }
    found.into_iter().max().unwrap_or_else(|| panic!("{name}: no build script has made it")).1
}

/// Makes the symbols of the libraries that the projects need visible to all code in the process.
fn load_libraries() {
    for name in [c"libm.so.6", c"libstdc++.so.6"] {
        // SAFETY: the system's libraries, which are loaded and stay.
        let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        assert!(!library.is_null(), "{name:?}");
    }
}

/// Compiles C functions to an object.
fn compile(text: &str, folder: &Path) -> PathBuf {
    let (source, object) = (folder.join("more.c"), folder.join("more.o"));
    std::fs::write(&source, text).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-fPIC", "-fno-builtin", "-c"]).arg(source).arg("-o").arg(&object);
    assert!(compiler.status().unwrap().success());
    object
}

/// Links the archive and another object with the system linker, opens the result, and runs the driver.
fn run_with_the_system(archive: &Path, more: &Path, driver: Driver) -> String {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("library.so");
    let mut linker = Command::new("c++");
    linker.args(["-shared", "-Wl,-Bsymbolic"]).arg(more).arg("-Wl,--whole-archive").arg(archive);
    assert!(linker.args(["-Wl,--no-whole-archive", "-lm", "-o"]).arg(&library).status().unwrap().success());
    let path = CString::new(library.to_str().unwrap()).unwrap();
    // SAFETY: a library that this test has just linked.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    assert!(!handle.is_null(), "{}", library.display());
    // SAFETY: the library stays open.
    driver(&|name: &CStr| unsafe { libc::dlsym(handle, name.as_ptr()) }.cast_const())
}

/// Links the members, loads the artifact, and runs the driver. Returns the linker's message if it refuses.
fn run_with_us(members: &[(String, &[u8])], driver: Driver) -> Result<String, String> {
    let objects: Vec<Object<'_>> = members.iter().map(|(name, bytes)| Object { name, bytes }).collect();
    let image = link(&objects, &Options::default()).map_err(|error| error.to_string())?;
    let engine = Engine::host();
    let mut builder = Builder::new(&Engine::new());
    builder.add_module(&image).unwrap();
    let bytes = builder.serialize().unwrap();
    let artifact = Artifact::open_bytes(&bytes, Some(&engine), &OpenOptions::default()).unwrap();
    let mut options = LoadOptions::default();
    (options.process_symbols, options.constructors) = (true, true);
    // SAFETY: projects that this test trusts. The code is dropped when nothing of it runs any more.
    let code = unsafe { load(Arc::new(artifact), &engine, options) }.unwrap_or_else(|error| panic!("{error}"));
    let find =
        |name: &CStr| code.symbol(0, name.to_bytes()).map_or(std::ptr::null(), |found| found.address as *const c_void);
    Ok(driver(&find))
}

#[test]
fn projects_link_load_and_work() {
    load_libraries();
    let counts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../counts").join(std::env::consts::ARCH);
    for (name, driver, more) in PROJECTS {
        let path = archive(name);
        let bytes = std::fs::read(&path).unwrap();
        let mut members = members(&bytes);
        println!("{name}:");
        let tally = Tally::new(name, &members);
        let folder = tempfile::tempdir().unwrap();
        let more = compile(more, folder.path());
        let object = std::fs::read(&more).unwrap();
        members.push(("more.o".to_owned(), &object));
        match run_with_us(&members, driver) {
            Ok(found) => assert_eq!(found, run_with_the_system(&path, &more, driver), "{name}"),
            Err(why) => {
                println!("        the whole project: {why}");
                assert!(tally.refuses_some(), "{name}: every object links, but not all of them together: {why}");
            }
        }
        tally.compare(&counts);
    }
}
