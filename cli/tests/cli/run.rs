//! `artifact run`, on modules that the system linker has linked.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use artifact::engine::{Engine, FlagMap};
use artifact::format::flags::Flag;

use crate::support::{Folder, run, run_with};

/// Compiles C, links it and packs it.
fn packed(folder: &Folder, source: &str) -> PathBuf {
    let (c, so, out) = (folder.file("code.c", source.as_bytes()), folder.path("code.so"), folder.path("code.artifact"));
    let cc = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let made = Command::new(cc).args(["-O1", "-fPIC", "-shared", "-o"]).arg(&so).arg(&c).status().unwrap();
    assert!(made.success());
    run(&["pack", "-o", out.to_str().unwrap(), so.to_str().unwrap()]).expect(0);
    out
}

#[test]
fn results_are_printed_in_decimal() {
    let folder = Folder::new();
    let source = "#include <stdint.h>\n#include <stdlib.h>\n\
        int answer(void) { return 42; }\n\
        int add(int64_t a, int64_t b) { return (int)(a + b); }\n\
        int64_t wide(int64_t a) { return a * 4000000000; }\n\
        int six(int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f) {\n\
            return (int)(a + 10 * b + 100 * c + 1000 * d + 10000 * e + 100000 * f); }\n\
        int magnitude(int64_t a) { return (int)labs(a); }\n";
    let file = packed(&folder, source);
    let file = file.to_str().unwrap();
    for (args, expected) in [
        (&["answer"][..], "42\n"),
        (&["add", "40", "-2"], "38\n"),
        (&["add", "-40", "-2"], "-42\n"),
        (&["--returns", "i64", "wide", "3"], "12000000000\n"),
        (&["wide", "3"], "-884901888\n"),
        (&["six", "1", "2", "3", "4", "5", "6"], "654321\n"),
        (&["magnitude", "-7"], "7\n"),
    ] {
        let ran = run(&[&["run", file], args].concat()).expect(0);
        assert_eq!((ran.out(), ran.err.as_str()), (expected, ""), "{args:?}");
    }
    let ran = run(&["run", file, "missing"]).expect(5);
    assert!(ran.err.contains("no module exports 'missing'"), "{}", ran.err);
    for wrong in [&["six", "1", "2", "3", "4", "5", "6", "7"][..], &["add", "x"], &["--returns", "u8", "answer"], &[]] {
        assert_eq!(run(&[&["run", file], wrong].concat()).expect(2).out(), "", "{wrong:?}");
    }
}

#[test]
fn data_is_not_called() {
    let folder = Folder::new();
    let source = "int data = 7; const int constants[3] = {1, 2, 3}; int zeros[100];\nint f(void) { return 1; }\n";
    let file = packed(&folder, source);
    for symbol in ["data", "constants", "zeros"] {
        let ran = run(&["run", file.to_str().unwrap(), symbol]).expect(5);
        assert!(ran.err.contains(&format!("expected '{symbol}' to be a function, found data")), "{}", ran.err);
        assert_eq!(ran.out(), "");
    }
}

#[test]
fn what_cannot_be_loaded_is_an_error() {
    let folder = Folder::new();
    let file = packed(&folder, "int missing(int);\nint use(int a) { return missing(a); }\n");
    let ran = run(&["run", file.to_str().unwrap(), "use", "1"]).expect(5);
    assert!(ran.err.contains("'missing'"), "{}", ran.err);
    let junk = folder.file("junk", [1; 100]);
    run(&["run", &junk, "use"]).expect(3);
    run(&["run", folder.path("nothing").to_str().unwrap(), "use"]).expect(5);
}

#[test]
fn only_compatible_and_trusted_files_run() {
    let folder = Folder::new();
    let file = packed(&folder, "int answer(void) { return 42; }\n");
    let file = file.to_str().unwrap();
    let mut other = Engine::host();
    other.set_flag(FlagMap::Shared, "opt_level", Flag::Enum("speed".into())).unwrap();
    let other = folder.file("other.json", other.to_json().unwrap());
    let key = folder.path("key").to_str().unwrap().to_owned();
    let public = folder.file("public", run(&["keygen", "-o", &key]).expect(0).out);
    let signed = folder.path("signed").to_str().unwrap().to_owned();
    run(&["rewrite", file, "-o", &signed, "--sign", &key]).expect(0);
    for (args, status) in [
        (&[file][..], 0),
        (&["--engine", &other, file], 1),
        (&["--trust", &public, file], 4),
        (&["--trust", &public, &signed], 0),
    ] {
        let ran = run(&[&["run"], args, &["answer"]].concat()).expect(status);
        assert_eq!(ran.out(), if status == 0 { "42\n" } else { "" });
        assert_eq!(ran.err.lines().count(), usize::from(status != 0), "{}", ran.err);
    }
    assert_eq!(run_with(&["run", "-", "answer"], &fs::read(file).unwrap()).expect(0).out(), "42\n");
}

#[test]
fn the_main_module_comes_first_and_the_process_is_searched() {
    let folder = Folder::new();
    let compile = |name: &str, flags: &[&str], source: &str| {
        let (c, out) = (folder.file(&format!("{name}.c"), source), folder.path(name));
        let cc = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        assert!(Command::new(cc).args(["-fPIC", "-o"]).arg(&out).args(flags).arg(&c).status().unwrap().success());
        out.to_str().unwrap().to_owned()
    };
    let first = compile("first.so", &["-shared"], "int which(void) { return 1; } int first(void) { return -1; }");
    let object = compile("main.o", &["-c"], "int abs(int); int which(void) { return abs(-2); }");
    let out = folder.path("out").to_str().unwrap().to_owned();
    for order in [&["--object", &object, "--", &first][..], &[&first, "--object", &object]] {
        run(&[&["pack", "-o", &out], order].concat()).expect(0);
        assert_eq!(run(&["run", &out, "which"]).expect(0).out(), "2\n", "{order:?}");
        assert_eq!(run(&["run", &out, "first"]).expect(0).out(), "-1\n", "{order:?}");
    }
}
