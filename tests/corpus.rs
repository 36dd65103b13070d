//! Links every object of the compiler's and the C library's archives by itself. Each one links or is refused as UNSUPPORTED.
//! `cargo test --test corpus -- --nocapture` prints the number of objects for each reason.
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;

use artifact::error::{Error, Status};
use artifact::format::elf::ImageFixup;
use artifact::native::image::parse;
use artifact::native::link::{Object, Options, link};

/// `e_machine` of the host: EM_AARCH64 or EM_X86_64.
const MACHINE: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };

/// Returns the members of a System V archive. A header of 60 bytes precedes each; member `//` holds names over 15 bytes.
fn members(archive: &[u8]) -> Vec<(String, &[u8])> {
    let mut rest = archive.strip_prefix(b"!<arch>\n").expect("an archive");
    let (mut long, mut found) = (&[][..], Vec::new());
    while !rest.is_empty() {
        let (header, after) = rest.split_at(60);
        let text = |range: std::ops::Range<usize>| std::str::from_utf8(&header[range]).unwrap().trim_end();
        let size: usize = text(48..58).parse().unwrap();
        let (bytes, after) = after.split_at(size);
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
        rest = after.strip_prefix(b"\n").filter(|_| size % 2 == 1).unwrap_or(after);
    }
    found
}

/// Returns the reason of a refusal: the message without the names of object, section and symbol.
fn reason(error: &Error) -> String {
    let message = error.message().split(" | ").next().unwrap();
    let named = [" against symbol '", ": symbol '", ": section '"].iter().find_map(|word| message.split_once(word));
    let Some((before, (_, reason))) = named.and_then(|(before, rest)| Some((before, rest.split_once("' ")?))) else {
        return message.split_once(": ").map_or(message, |(_, reason)| reason).to_owned();
    };
    match before.split_once("): ") {
        Some((_, relocation)) if reason == "is not supported" => format!("{relocation} {reason}"),
        _ => reason.to_owned(),
    }
}

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
    // Of libc and libm, hidden symbols and indirect functions are left.
    for (name, min_percent) in [("libc.a", 70), ("libm.a", 80), ("libstdc++.a", 95), ("libgcc.a", 98)] {
        let Some(path) = archive(name) else {
            println!("{name}: not found, skipped");
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
                    assert!(error.message().starts_with(&format!("{member}:")), "{error}");
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
