//! `artifact fat` and `artifact thin`, and what the other commands make of files of several targets.

use std::fs;
use std::process::{Command, Stdio};

use artifact::engine::Engine;

use crate::json::Json;
use crate::keys::keygen;
use crate::pack::object;
use crate::support::{Folder, Ran, command, fixture, run};

const X86: &str = "x86_64-unknown-linux-gnu";
const ARM: &str = "aarch64-unknown-linux-gnu";
/// The variants by the numbers that their function returns, and the CPUs that they are for.
const LEVELS: [(&str, &str); 4] = [("1", "x86-64-v1"), ("2", "x86-64-v2"), ("3", "x86-64-v3"), ("4", "x86-64-v4")];

/// Artifacts with a function `which` that tells them apart: four of x86-64, and one of aarch64 if there is an assembler.
fn variants(folder: &Folder) -> Option<Vec<String>> {
    let pack = |number: &str, args: &[&str], object: &str| {
        let out = folder.path(&format!("v{number}.artifact")).to_str().unwrap().to_owned();
        run(&[&["pack", "-o", &out, "--object", object], args].concat()).expect(0);
        out
    };
    let mut files = Vec::new();
    for (number, cpu) in LEVELS {
        let code = object(folder, "x86_64-linux-gnu-as", &format!(".globl which\nwhich: mov ${number}, %eax\nret\n"))?;
        files.push(pack(number, &["--target", X86, "--cpu", cpu], &code));
    }
    if let Some(code) = object(folder, "aarch64-linux-gnu-as", ".globl which\nwhich: mov w0, #5\nret\n") {
        files.push(pack("5", &["--target", ARM], &code));
    }
    Some(files)
}

/// Puts the variants together.
fn fat(folder: &Folder, files: &[String], more: &[&str]) -> String {
    let out = folder.path("fat.artifact").to_str().unwrap().to_owned();
    let mut args = vec!["fat", "-o", &out];
    args.extend(files.iter().map(String::as_str));
    args.extend(more);
    run(&args).expect(0);
    out
}

/// The level that a host has, by what it says about itself.
fn level(engine: &Engine) -> &'static str {
    let fits = |cpu: &str| {
        let mut with = engine.clone();
        let features = Engine::for_cpu(cpu).unwrap();
        for (name, flag) in features.flags(artifact::engine::FlagMap::Isa) {
            with.set_flag(artifact::engine::FlagMap::Isa, name, flag.clone()).unwrap();
        }
        with.fingerprint() == engine.fingerprint()
    };
    LEVELS.iter().rev().find(|(_, cpu)| fits(cpu)).unwrap().0
}

#[test]
fn each_host_runs_the_best_variant() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let folder = Folder::new();
    let Some(files) = variants(&folder) else { return };
    let file = fat(&folder, &files, &[]);
    assert_eq!(run(&["run", &file, "which"]).expect(0).out(), format!("{}\n", level(&Engine::host())));
    if !Command::new("qemu-x86_64").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("qemu-x86_64 not found: skipping the tests with emulated CPUs");
        return;
    }
    let program = command(&["run"]).get_program().to_str().unwrap().to_owned();
    let under = |cpu: &str, args: &[&str]| -> Ran {
        let mut command = Command::new("qemu-x86_64");
        command.args(["-cpu", cpu, &program]).args(args).stdin(Stdio::null()).output().unwrap().into()
    };
    // A masked feature counts, not the name of the CPU.
    for (cpu, number) in
        [("Nehalem", "2"), ("Haswell", "3"), ("EPYC", "3"), ("EPYC,-bmi2", "2"), ("Nehalem,-popcnt", "1"), ("max", "")]
    {
        let json = under(cpu, &["engine"]).expect(0);
        let expected = level(&Engine::from_json(json.out()).unwrap());
        assert!(number.is_empty() || number == expected, "{cpu}: {number}, {expected}");
        assert_eq!(under(cpu, &["run", &file, "which"]).expect(0).out(), format!("{expected}\n"), "{cpu}");
        let checked = under(cpu, &["check", "--json", &file]).expect(0).json();
        let chosen: usize = checked.get("variant").text()[1..].parse().unwrap();
        let target = checked.get("variants").list()[chosen].get("needs").list().len();
        assert_eq!(target, [0, 8, 17, 22][expected.parse::<usize>().unwrap() - 1], "{cpu}");
    }
}

#[test]
fn lists_and_judges_every_variant() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let folder = Folder::new();
    let Some(files) = variants(&folder) else { return };
    let file = fat(&folder, &files, &[]);
    let haswell = folder.path("haswell.json").to_str().unwrap().to_owned();
    let printed = run(&["engine", "--target", X86, "--cpu", "haswell"]).expect(0);
    fs::write(&haswell, printed.out).unwrap();
    let ran = run(&["check", "--engine", &haswell, &file]).expect(0);
    let lines: Vec<&str> = ran.out().lines().collect();
    assert_eq!(lines.len(), 1 + files.len());
    let at = lines.iter().position(|line| line.contains(": chosen")).unwrap();
    assert_eq!(lines[0], format!("{file}: compatible (variant {} of {})", at - 1, files.len()));
    assert!(
        lines[at].contains(&format!("variant {} ({X86} avx avx2 bmi bmi2 and 13 more): chosen", at - 1)),
        "{lines:?}"
    );
    let v4 = lines.iter().find(|line| line.contains("and 18 more")).unwrap();
    assert!(v4.contains("): Module was compiled with setting 'avx512bw' enabled but the host does not"), "{v4}");
    assert!(lines.last().unwrap().ends_with(&format!("({X86}): compatible")), "{lines:?}");

    let json = run(&["check", "--json", "--engine", &haswell, &file]).expect(0).json();
    assert_eq!(json.get("variant"), &Json::number(at as u64 - 1));
    let variants = json.get("variants").list();
    assert_eq!(variants.len(), files.len());
    let unfit = variants.iter().filter(|variant| !variant.get("findings").list().is_empty());
    assert_eq!(unfit.count(), files.len() - 3, "v4 and the one of aarch64");
    assert_eq!(variants[at - 1].get("needs").list()[1].text(), "avx2");

    // Nothing fits: the most portable one says why.
    let riscv = run(&["engine", "--target", "riscv64gc-unknown-linux-gnu"]).expect(0);
    let riscv = folder.file("riscv.json", riscv.out);
    let ran = run(&["check", "--engine", &riscv, &file]).expect(1);
    assert!(
        ran.out().starts_with(&format!("{file}: Module was compiled for architecture 'x86_64'\n")),
        "{}",
        ran.out()
    );
    let json = run(&["check", "--json", "--engine", &riscv, &file]).expect(1).json();
    assert_eq!((json.get("variant"), json.get("status")), (&Json::Null, &Json::number(20)));

    let json = run(&["inspect", "--json", &file]).expect(0).json();
    let last = files.len() as u64 - 1;
    assert_eq!(json.get("variant"), &Json::number(last), "the most portable one");
    assert!(json.get("isa_flags").keys().is_empty());
    assert_eq!(json.get("variants").list().len(), files.len());
    let host = json.get("host_variant").text()[1..].parse::<usize>().unwrap();
    let shown = run(&["inspect", "--json", "--variant", &host.to_string(), &file]).expect(0).json();
    assert_eq!(shown.get("variant"), &Json::number(host as u64));
    let text = run(&["inspect", &file]).expect(0);
    assert!(text.out().contains(&format!("variants: this host gets {host}\n")), "{}", text.out());
    assert!(text.out().contains(&format!("\t{X86}\tavx,avx2,bmi,")), "{}", text.out());
    run(&["inspect", "--variant", "9", &file]).expect(5);
    // A file of one target has none of this.
    assert!(!run(&["inspect", "--json", &files[0]]).expect(0).json().keys().contains(&"variants"));
    assert!(!run(&["check", "--json", &files[0]]).expect(0).json().keys().contains(&"variants"));
}

#[test]
fn thin_gives_back_each_variant() {
    let folder = Folder::new();
    let Some(files) = variants(&folder) else { return };
    let file = fat(&folder, &files, &[]);
    let out = folder.path("thin.artifact").to_str().unwrap().to_owned();
    let mut seen = Vec::new();
    for index in 0..files.len() {
        run(&["thin", &file, "--variant", &index.to_string(), "-o", &out]).expect(0);
        seen.push(fs::read(&out).unwrap());
    }
    for original in &files {
        let bytes = fs::read(original).unwrap();
        assert_eq!(seen.iter().filter(|thin| **thin == bytes).count(), 1, "{original}");
    }
    for (cpu, original) in [("haswell", 2), ("nehalem", 1), ("x86-64-v4", 3), ("generic", 0)] {
        let engine = folder.file("for.json", run(&["engine", "--target", X86, "--cpu", cpu]).expect(0).out());
        run(&["thin", &file, "--for", &engine, "-o", &out]).expect(0);
        assert!(fs::read(&out).unwrap() == fs::read(&files[original]).unwrap(), "{cpu}");
    }
    let riscv = folder.file("riscv.json", run(&["engine", "--target", "riscv64gc-unknown-linux-gnu"]).expect(0).out());
    let none = run(&["thin", &file, "--for", &riscv, "-o", &out]).expect(1);
    assert!(none.err.contains("expected a variant that fits"), "{}", none.err);
    run(&["thin", &file, "--variant", "9", "-o", &out]).expect(5);
    // Which one has to be said, once.
    run(&["thin", &file, "-o", &out]).expect(2);
    run(&["thin", &file, "--variant", "0", "--for", &riscv, "-o", &out]).expect(2);
    // Put together again from the parts, in the order of adding, it is the same file.
    let again = fs::read(&file).unwrap();
    assert!(run(&["fat", &file, "-o", "-"]).expect(0).out == again);
    let (first, second) = (fat(&folder, &files[..2], &[]), &files[2..]);
    let more: Vec<&str> = second.iter().map(String::as_str).collect();
    assert!(run(&[&["fat", "-o", "-", &first][..], &more].concat()).expect(0).out == again);
    // A file of one target is a copy.
    assert!(run(&["fat", &files[0], "-o", "-"]).expect(0).out == fs::read(&files[0]).unwrap());
}

#[test]
fn fat_refuses_what_does_not_go_together() {
    let folder = Folder::new();
    let Some(files) = variants(&folder) else { return };
    let out = folder.path("out").to_str().unwrap().to_owned();
    let refused = |args: &[&str], status: i32, sentence: &str| {
        let ran = run(&[&["fat", "-o", &out], args].concat()).expect(status);
        assert!(ran.err.contains(sentence), "{}", ran.err);
        assert!(!folder.path("out").exists());
    };
    refused(&[&files[0], &files[0]], 5, "expected needs that no other variant has");
    refused(&[&files[0], &fixture("addfib.cwasm")], 5, "expected an artifact with a trailer");
    refused(&[&files[0], &folder.file("text", "no artifact")], 3, "expected an ELF image");
    refused(&[&files[0], &files[1], "--scores", "1"], 2, "one for each file");
    refused(&[], 2, "required");
    // Commands for the parts of one target say what to use.
    let file = fat(&folder, &files, &["--scores", &["-1", "0", "7", "0", "2"][..files.len()].join(",")]);
    let scores = run(&["inspect", "--json", &file]).expect(0).json();
    assert!(scores.get("variants").list().iter().any(|variant| variant.get("score") == &Json::number(7)));
    for (args, instead) in
        [(&["extract", &file, "-d", &out][..], "artifact thin"), (&["rewrite", &file, "-o", &out], "artifact fat")]
    {
        let ran = run(args).expect(1);
        assert!(ran.err.contains("found") && ran.err.contains(instead), "{}", ran.err);
    }
}

#[test]
fn the_index_is_signed_and_verified() {
    let folder = Folder::new();
    let Some(files) = variants(&folder) else { return };
    let [mine, public] = keygen(&folder, "mine");
    let file = fat(&folder, &files, &["--sign", &mine]);
    for args in [&["verify", &file][..], &["check", &file], &["inspect", &file]] {
        run(&[args, &["--trust", &public]].concat()).expect(0);
    }
    if cfg!(target_arch = "x86_64") {
        run(&["run", "--trust", &public, &file, "which"]).expect(0);
    }
    let shown = run(&["inspect", "--json", &file, "--trust", &public]).expect(0).json();
    assert_eq!(shown.get("index").get("signatures").list().len(), 1);
    assert_eq!(shown.get("index").get("signed_by"), &shown.get("index").get("signatures").list()[0]);
    // A changed index has no signature of before.
    let changed = run(&["fat", &file, &folder.file("x", fs::read(&files[0]).unwrap()), "-o", "-"]);
    changed.expect(5);
    let unsigned = folder.path("unsigned.artifact").to_str().unwrap().to_owned();
    run(&["fat", &files[0], &files[1], "-o", &unsigned]).expect(0);
    for command in ["verify", "check", "inspect"] {
        run(&[command, &unsigned, "--trust", &public]).expect(4);
    }
    let added = run(&["fat", &unsigned, &files[2], "-o", &unsigned]).expect(0);
    assert_eq!(added.err, "");
    let dropped = run(&["fat", &file, "-o", &unsigned]).expect(0);
    assert_eq!(dropped.err, "", "the same index has the same signature");
    run(&["verify", &unsigned, "--trust", &public]).expect(0);
    // Detached, over the index.
    let (plain, sig) = (fat(&folder, &files[1..], &[]), folder.path("sig").to_str().unwrap().to_owned());
    run(&["sign", &plain, "--key", &mine, "-o", &sig]).expect(0);
    assert_eq!(fs::read(&sig).unwrap().len(), 96);
    run(&["verify", &plain, "--trust", &public, "--signature", &sig]).expect(0);
    run(&["verify", &files[1], "--trust", &public, "--signature", &sig]).expect(4);
    // Verifying looks at all variants: a byte of any is found.
    let bytes = fs::read(&plain).unwrap();
    let variants = run(&["inspect", "--json", &plain]).expect(0).json();
    for variant in variants.get("variants").list() {
        let [offset, len] = ["offset", "len"].map(|key| variant.get(key).text()[1..].parse::<usize>().unwrap());
        let mut damaged = bytes.clone();
        damaged[offset + len / 2] ^= 1;
        run(&["verify", &folder.file("damaged", damaged)]).expect(3);
    }
    let mut damaged = bytes.clone();
    let middle = bytes.len() - 200;
    damaged[middle] ^= 1;
    for command in ["verify", "check", "inspect"] {
        run(&[command, &folder.file("damaged", &damaged)]).expect(3);
    }
}
