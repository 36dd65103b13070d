//! `artifact extract`: what it writes, and where.

use std::fs;
use std::path::Path;

use crate::pack::{extract, names, pack, text};
use crate::support::{Folder, fixture, garbled, genuine, patched, run, run_with};

#[test]
fn extract_drops_what_follows_the_body() {
    let folder = Folder::new();
    let bytes = genuine("addfib");
    let (parts, out) = (folder.path("parts"), folder.path("out"));
    let ran = extract(&folder.file("a", [&bytes[..], b"and more"].concat()), &parts).expect(0);
    assert_eq!(ran.err, "");
    pack(&parts, &out, &["--no-trailer"]).expect(0);
    assert!(fs::read(out).unwrap() == bytes);
}

#[test]
fn extracts_modules_even_if_metadata_cannot_be_represented() {
    let folder = Folder::new();
    let unknown = folder.file("unknown", garbled(b"9.99.9"));
    let ran = extract(&unknown, &folder.path("1")).expect(1);
    assert!(ran.err.starts_with(&format!("error: '{unknown}': Metadata of version '9.99.9'")), "{}", ran.err);
    assert_eq!(names(&folder.path("1")), ["module-0.elf"]);

    let bytes = folder.file("bytes", patched(genuine("addfib"), b"\x060.33.0", b"\x060.\xff3.0"));
    let ran = extract(&bytes, &folder.path("2")).expect(1);
    assert!(ran.err.starts_with(&format!("error: '{bytes}': version: expected UTF-8")), "{}", ran.err);
    assert_eq!(names(&folder.path("2")), ["module-0.elf"]);
}

#[test]
fn damage_is_not_extracted() {
    let folder = Folder::new();
    let mut bytes = run(&["rewrite", &fixture("addfib.cwasm"), "-o", "-"]).expect(0).out;
    bytes[5000] ^= 1;
    let file = folder.file("damaged", bytes);
    let ran = extract(&file, &folder.path("parts")).expect(3);
    assert!(ran.err.starts_with(&format!("error: '{file}': module 0: ")), "{}", ran.err);
    assert!(!folder.path("parts").exists());
    extract(&folder.file("text", "no artifact"), &folder.path("parts")).expect(3);
    assert!(!folder.path("parts").exists());
}

#[test]
fn extract_needs_an_empty_directory_or_creates_one() {
    let folder = Folder::new();
    let file = fixture("addfib.cwasm");
    let deep = folder.path("a/b/c");
    extract(&file, &deep).expect(0);
    assert_eq!(names(&deep), ["metadata.json", "module-0.elf"]);
    let empty = folder.path("empty");
    fs::create_dir(&empty).unwrap();
    run_with(&["extract", "-", "--directory", text(&empty)], &genuine("addfib")).expect(0);
    assert_eq!(names(&empty), ["metadata.json", "module-0.elf"]);

    for taken in [folder.path("taken"), deep, folder.path("a/file/b")] {
        let ran = if taken.ends_with("b") {
            folder.file("a/file", "x");
            extract(&file, &taken).expect(5)
        } else {
            fs::create_dir_all(&taken).unwrap();
            fs::write(taken.join("module-0.elf"), "mine").unwrap();
            let ran = extract(&file, &taken).expect(5);
            assert_eq!(fs::read(taken.join("module-0.elf")).unwrap(), b"mine");
            ran
        };
        let expected = match taken.ends_with("b") {
            true => format!("error: cannot create '{}': Not a directory\n", text(&taken)),
            false => format!("error: '{}': the directory is not empty\n", text(&taken)),
        };
        assert_eq!(ran.err, expected);
    }
}

/// In a shared folder another user could plant a link to a folder of this user.
#[test]
fn extract_follows_no_link_of_another_user() {
    let folder = Folder::new();
    let (file, target) = (fixture("addfib.cwasm"), folder.path("target"));
    for (link, owner) in [("own", None), ("other", Some(12345))] {
        fs::create_dir(&target).unwrap();
        let path = folder.path(link);
        std::os::unix::fs::symlink(&target, &path).unwrap();
        if owner.is_some() && std::os::unix::fs::lchown(&path, owner, owner).is_err() {
            eprintln!("only root can test the links of others");
            return;
        }
        for ending in ["", "/", "/."] {
            let ran = extract(&file, Path::new(&format!("{}{ending}", text(&path))));
            match owner {
                None if ending.is_empty() => _ = ran.expect(0),
                None => _ = ran.expect(5), // no longer empty
                Some(_) => assert!(ran.expect(5).err.contains("symbolic links")),
            }
        }
        assert_eq!(names(&target).len(), if owner.is_none() { 2 } else { 0 });
        fs::remove_dir_all(&target).unwrap();
    }
}
