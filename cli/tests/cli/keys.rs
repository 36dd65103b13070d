//! `artifact keygen`, `artifact sign`, `--sign` and `--trust`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use artifact::engine::{Engine, FlagMap, VersionRule};
use artifact::format::flags::Flag;

use crate::json::Json;
use crate::support::{Folder, fixture, module, run, run_with};

/// Generates a key pair and returns the paths of the private and the public key.
pub fn keygen(folder: &Folder, name: &str) -> [String; 2] {
    let [private, public] =
        ["key", "pub"].map(|kind| folder.path(&format!("{name}.{kind}")).to_str().unwrap().to_owned());
    let ran = run(&["keygen", "-o", &private, "--public", &public]).expect(0);
    assert_eq!((ran.out(), ran.err.as_str()), ("", ""));
    [private, public]
}

/// The public key in a detached signature, in hexadecimal.
fn public_in(signature: &str) -> String {
    fs::read(signature).unwrap()[..32].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn keygen_writes_a_private_file_and_replaces_nothing() {
    let folder = Folder::new();
    let path = folder.path("a.key").to_str().unwrap().to_owned();
    let public = run(&["keygen", "-o", &path]).expect(0);
    assert!(public.out().starts_with("-----BEGIN PUBLIC KEY-----\n"), "{}", public.out());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let private = fs::read(&path).unwrap();
    assert!(private.starts_with(b"-----BEGIN PRIVATE KEY-----\n"));
    let again = run(&["keygen", "-o", &path]).expect(5);
    assert_eq!(
        (again.out(), again.err.as_str()),
        ("", format!("error: cannot create '{path}': File exists\n").as_str())
    );
    assert_eq!(fs::read(&path).unwrap(), private);
    run(&["keygen"]).expect(2);
}

#[test]
fn only_files_signed_by_a_trusted_key_open() {
    let folder = Folder::new();
    let ([mine, mine_public], [other, other_public]) = (keygen(&folder, "mine"), keygen(&folder, "other"));
    let plain = folder.artifact("plain", &Engine::new());
    let out = folder.path("out").to_str().unwrap().to_owned();
    run(&["rewrite", &plain, "-o", &out, "--sign", &mine]).expect(0);
    for command in ["verify", "check", "inspect"] {
        run(&[command, &out]).expect(0);
        run(&[command, &out, "--trust", &mine_public]).expect(0);
        run(&[command, &out, "--trust", &other_public, "--trust", &mine_public]).expect(0);
        let refused = run(&[command, &out, "--trust", &other_public]).expect(4);
        assert!(refused.err.contains("expected one of a trusted key, found one of another key"), "{}", refused.err);
        assert!(run(&[command, &plain, "--trust", &mine_public]).expect(4).err.contains("found none"));
        run(&[command, &fixture("addfib.cwasm"), "--trust", &mine_public]).expect(4);
    }
    // "Not signed by a trusted key" is the worst result.
    let damaged = folder.file("damaged", "no artifact at all");
    let ran = run(&["verify", "--trust", &mine_public, &out, &plain, &damaged]).expect(4);
    assert_eq!(ran.out(), format!("{out}: OK\n"));

    let trusted = run(&["inspect", "--json", &out, "--trust", &mine_public]).expect(0).json();
    let told = run(&["inspect", "--json", &out]).expect(0).json();
    let signer = trusted.get("trailer").get("signed_by").clone();
    assert_eq!(told.get("trailer").get("signed_by"), &Json::Null);
    assert_eq!(told.get("trailer").get("signatures").list(), std::slice::from_ref(&signer));
    let (trusted, told) = (run(&["inspect", &out, "--trust", &mine_public]), run(&["inspect", &out]));
    assert!(trusted.out().contains("integrity\tsigned (trailer format 1)\n") && trusted.out().contains(", trusted\n"));
    assert!(told.out().contains("integrity\tdigests (trailer format 1)\n") && told.out().contains(", not verified\n"));

    // A second signature next to the first, and a change that invalidates both.
    run(&["rewrite", &out, "-o", &out, "--sign", &other]).expect(0);
    run(&["verify", "--strict", &out, "--trust", &mine_public]).expect(0);
    run(&["verify", "--strict", &out, "--trust", &other_public]).expect(0);
    run(&["rewrite", &out, "-o", &out, "--attribute", "a=b"]).expect(0);
    run(&["verify", &out, "--trust", &mine_public]).expect(4);
    run(&["rewrite", &out, "-o", &out, "--sign", &mine, "--no-trailer"]).expect(2);
    let wrong = run(&["rewrite", &plain, "-o", &out, "--sign", &mine_public]).expect(5);
    assert!(wrong.err.contains(&mine_public) && wrong.err.contains("PRIVATE KEY"), "{}", wrong.err);
}

#[test]
fn a_signed_file_that_is_incompatible_gets_a_verdict() {
    let folder = Folder::new();
    let [mine, mine_public] = keygen(&folder, "mine");
    let signed = folder.path("signed").to_str().unwrap().to_owned();
    let host = folder.file("host.json", Engine::host().to_json().unwrap());
    let stranger = "Module was compiled by 'wasmtime' but 'artifact' is expected for the host";
    let mut old = Engine::host();
    old.set_version_rule(VersionRule::Custom("0".into())).unwrap();
    let mut flags = Engine::host();
    flags.set_flag(FlagMap::Shared, "opt_level", Flag::Enum("speed".into())).unwrap();
    for (file, sentence, status) in [
        (folder.artifact("stranger", &Engine::wasmtime()), stranger, 22),
        (folder.artifact("old", &old), "Module was compiled with incompatible version '0'", 21),
        (folder.artifact("flags", &flags), "Module was compiled with setting 'opt_level' but it is", 20),
    ] {
        run(&["rewrite", &file, "-o", &signed, "--sign", &mine]).expect(0);
        let ran = run(&["check", "--engine", &host, &signed, "--trust", &mine_public]).expect(1);
        assert!(ran.out().starts_with(&format!("{signed}: {sentence}")) && ran.err.is_empty(), "{}", ran.out());
        assert_eq!(ran.out(), run(&["check", "--engine", &host, &signed]).expect(1).out());
        let line = run(&["check", "--engine", &host, "--json", &signed, "--trust", &mine_public]).expect(1).json();
        assert_eq!(line.get("status"), &Json::number(status));
        assert_eq!(line.get("findings").list().len(), 1);
    }
}

#[test]
fn detached_signatures() {
    let folder = Folder::new();
    let ([mine, mine_public], [other, other_public]) = (keygen(&folder, "mine"), keygen(&folder, "other"));
    let signature = folder.path("sig").to_str().unwrap().to_owned();
    for file in [fixture("ml_two.cwasm"), folder.artifact("own", &Engine::new())] {
        run(&["sign", &file, "--key", &mine, "-o", &signature]).expect(0);
        assert_eq!(fs::read(&signature).unwrap().len(), 96);
        run(&["verify", &file, "--trust", &mine_public, "--signature", &signature]).expect(0);
        // `inspect` shows the signer, with a trailer or without.
        let beside = ["inspect", &file, "--trust", &mine_public, "--signature", &signature];
        assert!(run(&beside).expect(0).out().contains("integrity\tsigned"));
        let told = run(&[&beside[..], &["--json"]].concat()).expect(0).json();
        let place = if told.get("trailer") == &Json::Null { &told } else { told.get("trailer") };
        assert_eq!(place.get("signed_by").text(), public_in(&signature));
        let refused = run(&["verify", &file, "--trust", &other_public, "--signature", &signature]).expect(4);
        assert!(refused.err.contains("one of another key"), "{}", refused.err);
        let both = [run(&["sign", &file, "--key", &other, "-o", "-"]).expect(0).out, fs::read(&signature).unwrap()];
        let both = folder.file("both", both.concat());
        run(&["inspect", &file, "--trust", &mine_public, "--signature", &both]).expect(0);
        let piped = run_with(&["sign", "-", "--key", &mine, "-o", "-"], &fs::read(&file).unwrap()).expect(0);
        assert_eq!(piped.out, fs::read(&signature).unwrap());
        assert!(run(&["verify", &file, "--signature", &signature]).expect(5).err.contains("a trusted key"));
    }
}

#[test]
fn trusted_keys_of_an_engine_in_json_count() {
    let folder = Folder::new();
    let [mine, mine_public] = keygen(&folder, "mine");
    let plain = folder.artifact("plain", &Engine::new());
    let signed = folder.path("signed").to_str().unwrap().to_owned();
    run(&["rewrite", &plain, "-o", &signed, "--sign", &mine]).expect(0);
    let inspected = run(&["inspect", "--json", &signed, "--trust", &mine_public]).expect(0).json();
    let key = inspected.get("trailer").get("signed_by").text().to_owned();
    let json = String::from_utf8(run(&["engine"]).expect(0).out).unwrap();
    let trusting = json.replacen('{', &format!("{{ \"trusted_keys\": [\"{key}\"],"), 1);
    let engine = folder.file("engine.json", trusting);
    run(&["check", "--engine", &engine, &signed]).expect(0);
    run(&["check", "--engine", &engine, &plain]).expect(4);
    run(&["verify", "--engine", &engine, &plain]).expect(4);
}

#[test]
fn inputs_are_not_overwritten() {
    let folder = Folder::new();
    let [mine, mine_public] = keygen(&folder, "mine");
    let plain = folder.artifact("plain", &Engine::new());
    let before = (fs::read(&mine).unwrap(), fs::read(&plain).unwrap());
    for output in [&plain, &mine] {
        let ran = run(&["sign", &plain, "--key", &mine, "-o", output]).expect(5);
        let expected = format!("error: cannot write '{output}': it is an input (");
        assert!(ran.err.starts_with(&expected) && ran.err.contains("`artifact rewrite --sign`"), "{}", ran.err);
    }
    assert_eq!((fs::read(&mine).unwrap(), fs::read(&plain).unwrap()), before);
    let fresh = folder.path("fresh.key").to_str().unwrap().to_owned();
    let why = "a private key needs a file of its own\n";
    let same = run(&["keygen", "-o", &fresh, "--public", &fresh]).expect(5);
    assert_eq!(same.err, format!("error: cannot write '{fresh}': {why}"));
    let standard = run(&["keygen", "-o", "-"]).expect(5);
    assert_eq!(standard.err, format!("error: cannot write standard output: {why}"));
    assert!(!folder.path("fresh.key").exists());
    assert!(run(&["keygen", "-o", &fresh, "--public", "-"]).expect(0).out().contains("PUBLIC KEY"));
    assert_ne!(fs::read_to_string(&mine_public).unwrap(), "");
}

#[test]
fn warns_about_signatures_that_are_dropped() {
    let folder = Folder::new();
    let [mine, mine_public] = keygen(&folder, "mine");
    let plain = folder.artifact("plain", &Engine::new());
    let signed = folder.path("signed").to_str().unwrap().to_owned();
    let out = folder.path("out").to_str().unwrap().to_owned();
    assert_eq!(run(&["rewrite", &plain, "-o", &signed, "--sign", &mine]).expect(0).err, "");
    assert_eq!(run(&["rewrite", &signed, "-o", &out]).expect(0).err, "");
    for more in [&["--attribute", "a=b"][..], &["--no-trailer"]] {
        let ran = run(&[&["rewrite", &signed, "-o", &out], more].concat()).expect(0);
        let expected = format!("warning: '{signed}': dropped 1 signature not valid for the rewritten artifact\n");
        assert_eq!(ran.err, expected);
    }
    assert_eq!(run(&["rewrite", &signed, "-o", &out, "--unsign"]).expect(0).err, "");
    assert!(fs::read(&out).unwrap() == fs::read(&plain).unwrap());

    // With a key, `check` also verifies the code, not only the settings.
    let mut bytes = fs::read(&signed).unwrap();
    bytes[5000] ^= 1;
    let damaged = folder.file("damaged", bytes);
    run(&["check", &damaged]).expect(0);
    run(&["check", &damaged, "--trust", &mine_public]).expect(3);
}

/// strace makes statx report that the file is under fs-verity.
#[test]
#[cfg(target_endian = "little")]
fn a_file_under_verity_is_not_copied() {
    let folder = Folder::new();
    let [mine, mine_public] = keygen(&folder, "mine");
    let plain = folder.artifact("plain", &Engine::new());
    let signed = folder.path("signed").to_str().unwrap().to_owned();
    run(&["rewrite", &plain, "-o", &signed, "--sign", &mine]).expect(0);
    let module_len = module().len();
    let trace = folder.path("trace");
    // The first bytes of struct statx: stx_mask, stx_blksize, and STATX_ATTR_VERITY in stx_attributes.
    for (says, copies) in [("", 1), ("inject=statx:poke_exit=@arg5=ff0f0000001000000000100000000000", 0)] {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-e", "trace=pread64,statx", "-o"]).arg(&trace);
        if !says.is_empty() {
            strace.args(["-e", says]);
        }
        strace.args([env!("CARGO_BIN_EXE_artifact"), "verify", "--trust", &mine_public, &signed]);
        let Ok(output) = strace.output() else { return eprintln!("skipped: no strace") };
        if output.stdout != format!("{signed}: OK\n").into_bytes() {
            return eprintln!("skipped: strace cannot do this here: {}", String::from_utf8_lossy(&output.stderr));
        }
        let trace = fs::read_to_string(&trace).unwrap();
        let read = trace.lines().filter(|line| line.ends_with(&format!(", {module_len}, 0) = {module_len}"))).count();
        assert_eq!(read, copies, "{trace}");
    }
}
