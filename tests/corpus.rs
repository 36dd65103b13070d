//! Links every object of the compiler's and the C library's archives by itself, and compares the number of objects for each reason of
//! a refusal with what it was. `cargo test --test corpus -- --nocapture` prints an example of each. `scripts/projects` does the same
//! with large C and C++ projects.
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "common/objects.rs"]
mod objects;

use objects::{Tally, members};

/// Returns the path of the archive that the compiler would link; for a linker script, that of the first archive it names.
fn archive(name: &str) -> Option<PathBuf> {
    let output = Command::new("cc").arg(format!("-print-file-name={name}")).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    let bytes = std::fs::read(&path).ok()?;
    if bytes.starts_with(b"!<arch>") {
        return Some(path);
    }
    let script = String::from_utf8(bytes).ok()?;
    script.split_whitespace().find(|word| word.ends_with(".a")).map(PathBuf::from)
}

#[test]
fn system_archives_link_object_by_object() {
    let counts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/counts").join(std::env::consts::ARCH);
    for name in ["libc.a", "libm.a", "libstdc++.a", "libgcc.a"] {
        let Some(path) = archive(name) else {
            println!("{name}: not found, skipped");
            continue;
        };
        println!("{}:", path.display());
        let bytes = std::fs::read(&path).unwrap();
        let members = members(&bytes);
        assert!(members.len() > 100, "{name}: only {} objects", members.len());
        Tally::new(name, &members).compare(&counts);
    }
}

/// All archives of LLVM that a Debian machine has. Two thousand objects take a minute in a debug build.
#[test]
#[ignore = "scripts/projects runs it, with optimization"]
fn llvm_links_object_by_object() {
    let config = Command::new("llvm-config-14").arg("--libdir").output();
    let config = config.expect("llvm-config-14, from Debian's llvm-14-dev");
    let folder = String::from_utf8(config.stdout).unwrap();
    let archives = std::fs::read_dir(folder.trim()).unwrap().map(|entry| entry.unwrap().path());
    let is_llvm = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("libLLVM") && name.ends_with(".a")
    };
    let mut archives: Vec<PathBuf> = archives.filter(is_llvm).collect();
    archives.sort();
    let archives: Vec<Vec<u8>> = archives.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let members: Vec<_> = archives.iter().flat_map(|bytes| members(bytes)).collect();
    assert!(members.len() > 1000, "only {} objects", members.len());
    let counts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/counts").join(std::env::consts::ARCH);
    Tally::new("libLLVM.a", &members).compare(&counts);
}
