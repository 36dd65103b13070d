//! Archives: the members that are linked are those that ld and lld link.
#![allow(missing_docs)]

mod native;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use artifact::error::{Error, Status};
use artifact::format::archive::fill_thin;
use artifact::native::link::{Object, Options, link};

use native::{compile_text, folder, have, link_to, link_to_with, run, try_link_with};

/// Compiles each source with the name of its object, in a folder.
fn objects(folder: &Path, sources: &[(&str, &str)]) -> Vec<PathBuf> {
    let object = |(name, text): &(&str, &str)| compile_text("cc", &["-O1", "-fPIC"], "c", text, &folder.join(name));
    sources.iter().map(object).collect()
}

/// Makes an archive.
fn archive(flags: &str, path: &Path, members: &[PathBuf]) -> PathBuf {
    fs::remove_file(path).ok();
    run(Command::new("ar").args(flags.split(' ')).arg(path).args(members));
    path.to_owned()
}

fn fails(files: &[&Path], options: &Options<'_>) -> Error {
    try_link_with(files, options).unwrap_err()
}

/// The symbols that an image exports.
fn exported(image: &Path) -> BTreeSet<String> {
    let text = run(Command::new("nm").args(["--dynamic", "--defined-only", "--format=just-symbols"]).arg(image));
    text.lines().map(str::to_owned).collect()
}

fn linked(files: &[&Path], options: &Options<'_>) -> BTreeSet<String> {
    let image = files[0].with_file_name("ours.so");
    link_to_with(files, options, &image);
    exported(&image)
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const MAIN: (&str, &str) = (
    "main.o",
    "int one(void); __attribute__((weak)) int maybe(void); int shared; \
     int run(void) { return one() + (maybe ? maybe() : 0) + shared; }",
);
const MEMBERS: [(&str, &str); 6] = [
    ("unused.o", "int unused(void) { return nothing_defines_this(); } int two(void);"),
    ("two.o", "int three(void); int two(void) { return three() * 2; }"),
    ("one.o", "int two(void); int one(void) { return two() + 1; }"),
    ("a_member_with_a_long_name.o", "int three(void) { return 3; } int four(void) { return 4; }"),
    ("maybe.o", "int maybe(void) { return 100; }"),
    ("shared.o", "int shared = 7;"),
];

#[test]
fn members_are_linked_that_are_needed() {
    let folder = folder("archive-needed");
    let main = objects(&folder, &[MAIN]).remove(0);
    let members = objects(&folder, &MEMBERS);
    let expected = names(&["run", "shared", "one", "two", "three", "four"]);
    // With and without an index of symbols, thin, and in several archives of either order.
    for flags in ["rcs", "rcS"] {
        let whole = archive(flags, &folder.join("lib.a"), &members);
        assert_eq!(linked(&[&main, &whole], &Options::default()), expected);
        assert_eq!(linked(&[&whole, &main], &Options::default()), expected);
    }
    let (first, second) = members.split_at(3);
    let first = archive("rcs", &folder.join("first.a"), first);
    let second = archive("rcs", &folder.join("second.a"), second);
    assert_eq!(linked(&[&main, &first, &second], &Options::default()), expected);
    assert_eq!(linked(&[&main, &second, &first], &Options::default()), expected);
    if have("ld.lld") {
        let theirs = folder.join("theirs.so");
        run(Command::new("ld.lld").args(["-shared", "-o"]).arg(&theirs).args([&main, &second, &first]));
        assert_eq!(exported(&theirs), expected);
    }
    let mut options = Options::default();
    options.whole_archives = true;
    let all = names(&["run", "shared", "one", "two", "three", "four", "unused", "maybe"]);
    // `shared` is a strong definition in the archive, and in main.o, too.
    let error = fails(&[&main, &first, &second], &options);
    let message = "duplicate symbol 'shared' in main.o and second.a(shared.o)";
    assert_eq!((error.status(), error.message()), (Status::InvalidArgument, message));
    let library = archive("rcs", &folder.join("lib.a"), &members);
    run(Command::new("ar").arg("d").arg(&library).arg("shared.o"));
    assert_eq!(linked(&[&main, &library], &options), all);
}

#[test]
fn entries_are_exported_and_pull_members() {
    let folder = folder("archive-entries");
    let members = objects(&folder, &MEMBERS);
    let library = archive("rcs", &folder.join("lib.a"), &members);
    let with = |entries| {
        let mut options = Options::default();
        options.entries = entries;
        options
    };
    assert_eq!(linked(&[&library], &with(&["one", "three"])), names(&["one", "three"]));
    let error = fails(&[&library], &with(&["one", "nowhere"]));
    let message = "entry 'nowhere': expected an object that defines and exports it, found none";
    assert_eq!((error.status(), error.message()), (Status::InvalidArgument, message));
    let error = fails(&[&library], &Options::default());
    let message = "objects: expected at least one, found only archives, of which nothing is needed; name an entry, or link \
                   all members";
    assert_eq!((error.status(), error.message()), (Status::InvalidArgument, message));
}

#[test]
fn the_first_member_that_defines_a_symbol_counts() {
    let folder = folder("archive-first");
    let main = objects(&folder, &[("main.o", "int number(void); int run(void) { return number(); }")]).remove(0);
    let first = objects(&folder, &[("a.o", "int number(void) { return 1; } int is_a;")]);
    let second = objects(&folder, &[("b.o", "int number(void) { return 2; } int is_b;")]);
    let both = archive("rcs", &folder.join("both.a"), &[&first[..], &second].concat());
    let (a, b) = (archive("rcs", &folder.join("a.a"), &first), archive("rcs", &folder.join("b.a"), &second));
    let (with_a, with_b) = (names(&["run", "number", "is_a"]), names(&["run", "number", "is_b"]));
    assert_eq!(linked(&[&main, &both], &Options::default()), with_a);
    assert_eq!(linked(&[&main, &b, &a], &Options::default()), with_b);
    // An object comes before every archive.
    assert_eq!(linked(&[&both, &second[0], &main], &Options::default()), with_b);
}

#[test]
fn errors_name_archive_and_member() {
    let folder = folder("archive-errors");
    let main = objects(&folder, &[MAIN]).remove(0);
    let text = "asm(\".section .preinit_array,\\\"aw\\\"\\n.quad 0\\n.text\"); int one(void) { return 1; }";
    let refused = archive("rcs", &folder.join("lib.a"), &objects(&folder, &[("early.o", text)]));
    let error = link_damaged(&main, &fs::read(&refused).unwrap());
    assert!(error.message().starts_with("lib.a(early.o):"), "{error}");
    let library = archive("rcs", &folder.join("lib.a"), &objects(&folder, &MEMBERS));
    // A member that is no object defines nothing; one that is damaged is an error.
    let note = folder.join("note.txt");
    fs::write(&note, "made by hand").unwrap();
    run(Command::new("ar").arg("rb").arg("unused.o").arg(&library).arg(&note));
    assert!(linked(&[&main, &library], &Options::default()).contains("three"));
    let bytes = fs::read(&library).unwrap();
    let at = bytes.windows(4).position(|window| window == b"\x7fELF").unwrap();
    let mut damaged = bytes.clone();
    damaged[at + 40..at + 48].fill(0xff); // e_shoff
    let error = link_damaged(&main, &damaged);
    assert!([Status::Corrupt, Status::Truncated].contains(&error.status()), "{error}");
    assert!(error.message().starts_with("lib.a(unused.o): "), "{error}");
    let error = link_damaged(&main, &bytes[..bytes.len() - 100]);
    assert_eq!(error.status(), Status::Truncated);
    assert!(error.message().starts_with("lib.a: archive: expected a member of "), "{error}");
}

fn link_damaged(main: &Path, archive: &[u8]) -> Error {
    let main = fs::read(main).unwrap();
    let objects = [Object { name: "main.o", bytes: &main }, Object { name: "lib.a", bytes: archive }];
    link(&objects, &Options::default()).unwrap_err()
}

#[test]
fn thin_archives_are_filled_from_their_files() {
    let folder = folder("archive-thin");
    let main = objects(&folder, &[MAIN]).remove(0);
    let members = objects(&folder, &MEMBERS);
    fs::remove_file(folder.join("thin.a")).ok();
    let relative: Vec<_> = members.iter().map(|member| member.file_name().unwrap()).collect();
    run(Command::new("ar").current_dir(&folder).args(["rcsT", "thin.a"]).args(relative));
    let thin = fs::read(folder.join("thin.a")).unwrap();
    let error = link_damaged(&main, &thin);
    assert_eq!(error.status(), Status::InvalidArgument);
    assert!(error.message().contains("found a thin archive"), "{error}");
    let read = |name: &[u8]| Ok(fs::read(folder.join(std::str::from_utf8(name).unwrap())).unwrap());
    let filled = folder.join("lib.a");
    fs::write(&filled, fill_thin(&thin, read).unwrap()).unwrap();
    let whole = archive("rcs", &folder.join("whole.a"), &members);
    assert_eq!(
        link_to(&[&main, &filled], &folder.join("filled.so")),
        link_to(&[&main, &whole], &folder.join("whole.so"))
    );
}

#[test]
fn archives_of_the_compiler_link() {
    let folder = folder("archive-libgcc");
    let text = "__int128 divide(__int128 a, __int128 b) { return a / b; } _Complex double times(_Complex double a, \
                _Complex double b) { return a * b; }";
    let main = objects(&folder, &[("main.o", text)]).remove(0);
    let libgcc = run(Command::new("cc").arg("-print-libgcc-file-name"));
    let image = folder.join("ours.so");
    link_to(&[&main, Path::new(libgcc.trim())], &image);
    let undefined = run(Command::new("nm").args(["--dynamic", "--undefined-only"]).arg(&image));
    assert_eq!(undefined, "");
}
