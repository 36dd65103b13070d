//! `artifact run`: functions of modules that the system linker has made.

use std::path::PathBuf;
use std::process::Command;

use crate::support::{Folder, run};

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
    let ran = run(&["run", file, "six", "1", "2", "3", "4", "5", "6", "7"]).expect(5);
    assert!(ran.err.contains("at most 6"), "{}", ran.err);
}

#[test]
fn what_cannot_be_loaded_is_refused() {
    let folder = Folder::new();
    let file = packed(&folder, "int nobody(int);\nint use(int a) { return nobody(a); }\n");
    let ran = run(&["run", file.to_str().unwrap(), "use", "1"]).expect(5);
    assert!(ran.err.contains("'nobody'"), "{}", ran.err);
    let junk = folder.file("junk", [1; 100]);
    run(&["run", &junk, "use"]).expect(3);
    run(&["run", folder.path("nothing").to_str().unwrap(), "use"]).expect(5);
}
