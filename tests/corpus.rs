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
