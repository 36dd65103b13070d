//! Every object of the compiler's and the C library's archives is linked alone, or refused for a reason that has a name.
//! `cargo test --test corpus -- --nocapture` prints how many of each.
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;

use artifact::error::{Error, Status};
use artifact::format::elf::ImageFixup;
use artifact::native::image::parse;
use artifact::native::link::{Object, Options, link};

/// x86-64 or aarch64: the machine that the tests run on.
const MACHINE: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };

/// Members of an archive in the format of System V: a header of 60 bytes before each, names over 15 bytes in member `//`.
fn members(archive: &[u8]) -> Vec<(String, &[u8])> {
    let mut rest = archive.strip_prefix(b"!<arch>\n").expect("an archive");
    let (mut long, mut found) = (&[][..], Vec::new());
    while !rest.is_empty() {
        let (header, behind) = rest.split_at(60);
        let text = |range: std::ops::Range<usize>| std::str::from_utf8(&header[range]).unwrap().trim_end();
        let size: usize = text(48..58).parse().unwrap();
        let (bytes, behind) = behind.split_at(size);
        match text(0..16) {
            "//" => long = bytes,
            "/" | "/SYM64/" => {}
            name => {
                let name = match name.strip_prefix('/').map(|at| at.parse::<usize>().unwrap()) {
                    Some(at) => std::str::from_utf8(&long[at..]).unwrap().split('/').next().unwrap(),
                    None => name.trim_end_matches('/'),
                };
                found.push((name.to_owned(), bytes));
            }
        }
        rest = behind.strip_prefix(b"\n").filter(|_| size % 2 == 1).unwrap_or(behind);
    }
    found
}

/// The reason of a refusal: what stands behind the place that it names.
fn reason(error: &Error) -> String {
    let message = error.message();
    let parts: Vec<&str> = message.splitn(4, ": ").collect();
    let reason = if message.contains(", relocation ") { parts[1..].join(": ") } else { parts[2..].join(": ") };
    let relocation = message.split(", relocation ").nth(1).and_then(|rest| rest.split(':').next());
    match relocation {
        Some(relocation) if reason.starts_with("expected a relocation that can be linked") => {
            format!("{relocation}: {reason}")
        }
        _ => reason,
    }
}

/// The archive that the compiler would take; of a linker script the first that it names.
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
    // How many percent have to link: a libc calls itself by hidden names, and has threads' data.
    for (name, min_percent) in [("libc.a", 45), ("libm.a", 45), ("libstdc++.a", 90), ("libgcc.a", 90)] {
        let Some(path) = archive(name) else {
            println!("{name}: not here, so that nothing is tested");
            continue;
        };
        let bytes = std::fs::read(&path).unwrap();
        let (mut linked, mut all) = (0, 0);
        let mut reasons = BTreeMap::<String, (usize, String)>::new();
        for (member, bytes) in members(&bytes) {
            all += 1;
            let object = Object { name: &member, bytes };
            let result = catch_unwind(AssertUnwindSafe(|| link(&[object], &Options::default())));
            match result.unwrap_or_else(|_| panic!("{name}: {member} makes the linker panic")) {
                Ok(image) => {
                    ImageFixup::new(&image).unwrap_or_else(|error| panic!("{name}: {member}: {error}"));
                    parse(&image, MACHINE, 4096).unwrap_or_else(|error| panic!("{name}: {member}: {error}"));
                    linked += 1;
                }
                Err(error) => {
                    assert_eq!(error.status(), Status::Unsupported, "{name}: {error}");
                    assert!(error.message().contains(&format!("object '{member}'")), "{error}");
                    reasons.entry(reason(&error)).or_insert((0, error.to_string())).0 += 1;
                }
            }
        }
        println!("{}: {linked} of {all} objects link", path.display());
        for (reason, (count, example)) in &reasons {
            println!("{count:6}  {reason}\n        {example}");
        }
        assert!(all > 100, "{name}: only {all} objects");
        assert!(linked * 100 >= all * min_percent, "{name}: expected {min_percent} %, linked {linked} of {all}");
    }
}
