//! What all commands have in common: exit status, usage, help, streams.

use std::fs;

use artifact::engine::Engine;
use artifact::trust::keys::PrivateKey;

use crate::support::{Folder, Ran, command, default_config, fixture, garbled, genuine, patched, run};

#[test]
fn exit_statuses() {
    let folder = Folder::new();
    let good = folder.artifact("good", &Engine::host());
    let foreign = fixture("addfib.cwasm");
    let bytes = genuine("addfib");
    let truncated = folder.file("truncated", &bytes[..bytes.len() / 2]);
    let corrupt = folder.file("corrupt", garbled(b"0.33.0"));
    let text = folder.file("text", "no artifact");
    let empty = folder.file("empty", "");
    let missing = folder.path("missing").to_str().unwrap().to_owned();
    let directory = folder.0.path().to_str().unwrap().to_owned();
    for command in ["check", "inspect", "verify"] {
        for (file, status) in [(&truncated, 3), (&text, 3), (&empty, 3), (&missing, 5), (&directory, 5)] {
            let ran = run(&[command, file]).expect(status);
            assert!(ran.err.starts_with(&format!("artifact: {file}: ")), "{}", ran.err);
            assert_eq!(ran.err.lines().count(), 1);
            assert_eq!(ran.out(), "");
        }
        run(&[command, &good]).expect(0);
    }
    // Several files: the worst counts, and none keeps the others from being told.
    let wasmtime = folder.file("wasmtime.json", default_config());
    for (files, status) in [
        (&[&good, &good][..], 0),
        (&[&good, &foreign, &good], 1),
        (&[&foreign, &missing, &good], 5),
        (&[&missing, &truncated, &foreign], 3),
        (&[&corrupt, &text, &missing], 3),
    ] {
        let mut args = vec!["check"];
        args.extend(files.iter().map(|file| file.as_str()));
        let ran = run(&args).expect(status);
        assert_eq!(ran.out().lines().count() + ran.err.lines().count(), files.len(), "{files:?}");
    }
    // What isn't signed is worse than anything else.
    let mut trusting = Engine::host();
    trusting.trust(PrivateKey::generate().unwrap().public());
    let trusting = folder.file("trusting.json", trusting.to_json().unwrap());
    for files in [&[&good, &missing, &text][..], &[&text, &missing, &good]] {
        let mut args = vec!["verify", "--engine", &trusting];
        args.extend(files.iter().map(|file| file.as_str()));
        let ran = run(&args).expect(4);
        assert_eq!(ran.err.lines().count(), 3, "{}", ran.err);
    }
    // A stranger's file is no damaged one, even where nothing behind its version makes sense.
    let stale = folder.file("stale", garbled(b"9.99.9"));
    let ran = run(&["check", "--engine", &wasmtime, &stale]).expect(1);
    assert_eq!(ran.out(), format!("{stale}: Module was compiled with incompatible Wasmtime version '9.99.9'\n"));
    let stranger = folder.file("stranger", patched(garbled(b"0.33.0"), b"\0wasmtime-aot", b"\0someone_-aot"));
    run(&["check", "--engine", &wasmtime, &stranger]).expect(1);
    for file in [&corrupt, &folder.file("cut", &bytes[..bytes.len() - 9])] {
        run(&["check", "--engine", &wasmtime, file]).expect(3);
        run(&["check", file]).expect(1);
    }
}

#[test]
fn wrong_usage_and_help() {
    let file = fixture("addfib.cwasm");
    for args in [
        &[][..],
        &["frobnicate"],
        &["check"],
        &["inspect"],
        &["inspect", &file, &file],
        &["rewrite", &file],
        &["check", "--wasmtime", "--engine", "e.json", &file],
        &["check", "-", "-"],
        &["verify", "--engine", "-", "-"],
        &["verify", "--frobnicate", &file],
    ] {
        let ran = run(args).expect(2);
        assert_eq!(ran.out(), "", "{args:?}");
        assert!(!ran.err.is_empty());
    }
    for command in [
        &["--help"][..],
        &["inspect", "--help"],
        &["check", "--help"],
        &["verify", "--help"],
        &["engine", "--help"],
        &["rewrite", "--help"],
        &["pack", "--help"],
        &["extract", "--help"],
        &["man", "--help"],
        &["completions", "--help"],
        &["keygen", "--help"],
        &["sign", "--help"],
    ] {
        let ran = run(command).expect(0);
        assert!(ran.out().contains("\nExamples:\n  artifact "), "{command:?}");
        assert!(!ran.out().contains('\x1b'));
    }
    let version = format!("artifact {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["--version"]).expect(0).out(), version);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let file = fixture("types.cwasm");
    for (args, status) in [(&["inspect", &file][..], 0), (&["engine"], 0), (&["check", &file, "/missing"], 5)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran: Ran = command(args).stdout(writer).output().unwrap().into();
        let ran = ran.expect(status);
        assert!(!ran.err.contains("standard output"), "{}", ran.err);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn output_that_is_lost_is_an_error() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let ran: Ran = command(&["inspect", &fixture("types.cwasm")]).stdout(full).output().unwrap().into();
    assert!(ran.expect(5).err.starts_with("artifact: standard output: "));
}
