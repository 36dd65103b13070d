//! `artifact rewrite`.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use crate::json::Json;
use crate::support::{Folder, fixture, fixtures, genuine, run, run_with};

#[test]
fn keeps_the_body() {
    let folder = Folder::new();
    let out = folder.path("out");
    for name in fixtures() {
        let (file, bytes) = (fixture(&format!("{name}.cwasm")), genuine(&name));
        let args = ["rewrite".as_ref(), "--no-trailer".as_ref(), file.as_ref(), OsStr::new("-o"), out.as_ref()];
        let ran = run(&args).expect(0);
        assert_eq!((ran.out(), ran.err.as_str()), ("", ""));
        assert!(fs::read(&out).unwrap() == bytes, "{name}");
        let sealed = run(&["rewrite", &file, "-o", "-"]).expect(0).out;
        assert!(sealed.len() > bytes.len() && sealed.starts_with(&bytes), "{name}");
        assert!(run_with(&["rewrite", "-", "--no-trailer", "-o", "-"], &sealed).expect(0).out == bytes, "{name}");
    }
    // In place, and without what follows the body.
    let bytes = genuine("ml_two");
    let file = folder.file("a", [&bytes[..], b"and more"].concat());
    run(&["rewrite", "--no-trailer", &file, "--output", &file]).expect(0);
    assert!(fs::read(&file).unwrap() == bytes);
}

#[test]
fn adds_attributes_that_inspect_shows() {
    let folder = Folder::new();
    let (file, out) = (fixture("addfib.cwasm"), folder.path("out").to_str().unwrap().to_owned());
    run(&["rewrite", &file, "-o", &out, "--attribute", "built-by=ci", "--attribute", "empty="]).expect(0);
    run(&["rewrite", &out, "-o", &out, "--attribute", "built-by=me"]).expect(0);
    let trailer = run(&["inspect", "--json", &out]).expect(0).json().get("trailer").clone();
    assert_eq!(trailer.get("format"), &Json::number(1));
    assert_eq!(trailer.get("attributes").get("built-by").text(), "bWU=");
    assert_eq!(trailer.get("attributes").get("empty").text(), "");
    let text = run(&["inspect", &out]).expect(0);
    for line in ["integrity\tdigests (trailer format 1)", "attribute\tbuilt-by = \"me\"", "attribute\tempty = \"\""] {
        assert!(text.out().lines().any(|found| found == line), "{line}: {}", text.out());
    }
    run(&["verify", "--strict", &out]).expect(0);
    run(&["rewrite", &file, "-o", &out, "--attribute", "nothing"]).expect(2);
    run(&["rewrite", &file, "-o", &out, "--attribute", "a=b", "--no-trailer"]).expect(2);

    let mut bytes = fs::read(&out).unwrap();
    bytes[5000] ^= 1;
    let damaged = folder.file("damaged", bytes);
    assert!(run(&["verify", &damaged]).expect(3).err.contains("module 0: expected the bytes that were written"));
}

#[test]
fn a_failed_rewrite_keeps_the_output_file() {
    let folder = Folder::new();
    let out = folder.file("out", "precious");
    let text = folder.file("text", "no artifact");
    let ran = run(&["rewrite", &text, "-o", &out]).expect(3);
    assert!(ran.err.starts_with(&format!("error: '{text}': ")), "{}", ran.err);
    assert_eq!(fs::read(&out).unwrap(), b"precious");
    let nowhere = folder.path("no/where").to_str().unwrap().to_owned();
    let ran = run(&["rewrite", &fixture("addfib.cwasm"), "-o", &nowhere]).expect(5);
    assert_eq!(ran.err, format!("error: cannot write '{nowhere}': No such file or directory\n"));
    assert!(!Path::new(&nowhere).exists());
}
