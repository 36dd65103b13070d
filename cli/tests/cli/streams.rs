//! What all commands share: exit statuses, usage errors, help, error messages, streams.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::trust::keys::PrivateKey;

use crate::support::{
    COMMANDS, Folder, OPENING, Ran, between, command, default_config, fixture, garbled, genuine, module, patched, run,
};

#[test]
fn exit_statuses() {
    let folder = Folder::new();
    let good = folder.artifact("good", &Engine::host());
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
            let cannot = if file == &missing { "cannot open " } else { "" };
            assert!(ran.err.starts_with(&format!("error: {cannot}'{file}': ")), "{}", ran.err);
            assert_eq!(ran.err.lines().count(), 1);
            assert_eq!(ran.out(), "");
        }
        run(&[command, &good]).expect(0);
    }
    // With several files, all are checked, and the worst result counts.
    let unfit = fixture("target_win64.cwasm");
    let wasmtime = folder.file("wasmtime.json", default_config());
    for (files, status) in [
        (&[&good, &good][..], 0),
        (&[&good, &unfit, &good], 1),
        (&[&unfit, &missing, &good], 5),
        (&[&missing, &truncated, &unfit], 3),
        (&[&corrupt, &text, &missing], 3),
    ] {
        let mut args = vec!["check"];
        args.extend(files.iter().map(|file| file.as_str()));
        let ran = run(&args).expect(status);
        assert_eq!(ran.out().lines().count() + ran.err.lines().count(), files.len(), "{files:?}");
    }
    // A missing signature is worse than anything else.
    let mut trusting = Engine::host();
    trusting.trust(PrivateKey::generate().unwrap().public());
    let trusting = folder.file("trusting.json", trusting.to_json().unwrap());
    for files in [&[&good, &missing, &text][..], &[&text, &missing, &good]] {
        let mut args = vec!["verify", "--engine", &trusting];
        args.extend(files.iter().map(|file| file.as_str()));
        let ran = run(&args).expect(4);
        assert_eq!(ran.err.lines().count(), 3, "{}", ran.err);
    }
    let other = folder.file("other.json", Engine::host().to_json().unwrap());
    // A file of another producer or version is not damaged, even if nothing after its version can be decoded.
    let stale = folder.file("stale", garbled(b"9.99.9"));
    let ran = run(&["check", "--engine", &wasmtime, &stale]).expect(1);
    assert_eq!(ran.out(), format!("{stale}: Module was compiled with incompatible Wasmtime version '9.99.9'\n"));
    let stranger = folder.file("stranger", patched(garbled(b"0.33.0"), b"\0wasmtime-aot", b"\0someone_-aot"));
    run(&["check", "--engine", &wasmtime, &stranger]).expect(1);
    for file in [&corrupt, &folder.file("cut", &bytes[..bytes.len() - 9])] {
        run(&["check", "--engine", &wasmtime, file]).expect(3);
        run(&["check", "--engine", &other, file]).expect(1);
        run(&["check", file]).expect(3);
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
        assert_eq!(ran.err.starts_with("error: "), !args.is_empty(), "{}", ran.err);
        let twice = args.iter().filter(|arg| **arg == "-").count() == 2;
        assert_eq!(ran.err.contains("standard input ('-') can be used only once"), twice, "{}", ran.err);
    }
    let help = run(&["--help"]).expect(0);
    let listed: Vec<&str> = help.out().lines().filter_map(|line| line.strip_prefix("  ")?.split("  ").next()).collect();
    for command in COMMANDS.iter().chain(&["man", "completions"]) {
        let ran = run(&[command, "--help"]).expect(0);
        assert!(ran.out().contains("\nExamples:\n  artifact "), "{command}");
        assert_eq!(run(&["help", command]).expect(0).out(), ran.out());
        assert_eq!(listed.contains(command), COMMANDS.contains(command), "{command}");
        assert_eq!(ran.out().contains("--trust <KEY>"), OPENING.contains(command), "{command}");
        assert!(!OPENING.contains(command) || ran.out().contains("--engine <ENGINE>"), "{command}");
    }
    assert!(help.out().contains("\nExamples:\n  artifact "));
    let exit_status = between(help.out(), "\nExit status:\n", "\n\n");
    let numbers: Vec<&str> =
        exit_status.lines().filter_map(|line| line.strip_prefix("  ")?.split("  ").next()).collect();
    assert_eq!(numbers[..6], ["0", "1", "2", "3", "4", "5"]);
    for command in COMMANDS {
        let help = run(&[command, "--help"]).expect(0);
        let short = run(&[command, "-h"]).expect(0);
        for text in [help.out(), short.out()] {
            assert_eq!(between(text, "\nExit status:\n", "\n\n"), exit_status, "{command}");
        }
    }
    let version = format!("artifact {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["--version"]).expect(0).out(), version);
}

#[test]
fn help_is_plain_unless_it_goes_to_a_terminal() {
    for (name, value) in [("CLICOLOR_FORCE", "1"), ("CI", "true"), ("COLORTERM", "truecolor")] {
        for args in [&["--help"][..], &["check", "--help"], &["--version"], &["frobnicate"], &[]] {
            let ran: Ran = command(args).env(name, value).env("TERM", "xterm").output().unwrap().into();
            assert!(!ran.out().contains('\x1b') && !ran.err.contains('\x1b'), "{name}: {args:?}");
            assert_ne!(ran.out().is_empty(), ran.err.is_empty(), "{args:?}");
        }
    }
}

/// The arguments of each command that opens a file, without the file.
fn openings(folder: &Folder) -> Vec<Vec<String>> {
    let at = |name: &str| folder.path(name).to_str().unwrap().to_owned();
    let key = folder.file("key", PrivateKey::generate().unwrap().to_pem().unwrap());
    let openings = [
        vec!["inspect"],
        vec!["check"],
        vec!["verify"],
        vec!["extract", "-d", &at("parts")],
        vec!["rewrite", "-o", &at("rewritten")],
        vec!["sign", "--key", &key, "-o", &at("signature")],
        vec!["run"],
        vec!["fat", "-o", &at("fat")],
        vec!["thin", "--variant", "0", "-o", &at("thin")],
        vec!["pack", "-o", &at("packed")],
    ]
    .map(|args| args.into_iter().map(str::to_owned).collect());
    assert_eq!(openings.len(), OPENING.len() + 1);
    openings.into()
}

#[test]
fn files_that_cannot_be_read_are_named_and_nothing_is_written() {
    let folder = Folder::new();
    let fifo = folder.path("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
    let directory = folder.path("directory");
    fs::create_dir(&directory).unwrap();
    let locked = folder.path("locked");
    fs::write(&locked, genuine("addfib")).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    let mut files = vec![
        (folder.path("missing"), "cannot open ", "No such file or directory"),
        (fifo, "", "expected a regular file, found a FIFO"),
        (directory, "", "expected a regular file, found a directory"),
        (PathBuf::from("/dev/zero"), "", "expected a regular file, found a device"),
        (folder.path("missing").join(OsStr::from_bytes(b"\xff")), "cannot open ", "No such file or directory"),
    ];
    // Root may read everything.
    if fs::File::open(&locked).is_err() {
        files.push((locked, "cannot open ", "Permission denied"));
    }
    for args in openings(&folder) {
        for (file, action, reason) in &files {
            let mut program = command(&args);
            program.arg(file).args(args.contains(&"run".to_owned()).then_some("symbol"));
            let output = program.output().unwrap();
            // Escaped: a terminal must not interpret it.
            let name = String::from_utf8_lossy(file.as_os_str().as_bytes()).replace('\u{fffd}', "\\xff");
            let expected = format!("error: {action}'{name}': {reason}\n");
            assert_eq!(String::from_utf8(output.stderr).unwrap(), expected, "{args:?}");
            assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(5), &b""[..]), "{args:?}");
        }
    }
    let made = ["parts", "rewritten", "signature", "fat", "thin", "packed"].map(|name| folder.path(name).exists());
    assert_eq!(made, [false; 6]);
}

#[test]
fn names_of_files_may_have_any_bytes() {
    let folder = Folder::new();
    let file = folder.path("").join(OsStr::from_bytes(b"na\xffme\n.cwasm"));
    fs::rename(folder.artifact("plain", &Engine::host()), &file).unwrap();
    for args in openings(&folder).iter().filter(|args| !["run", "pack"].contains(&args[0].as_str())) {
        let output = command(args).arg(&file).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{args:?}");
        if ["inspect", "check", "verify"].contains(&args[0].as_str()) {
            // Escaped: a terminal must not interpret them.
            assert!(String::from_utf8(output.stdout).unwrap().contains("na\\xffme\\n.cwasm: "), "{args:?}");
        }
    }
    // JSON holds only text.
    let output = command(&["verify", "--json"]).arg(&file).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("na\u{fffd}me\\n.cwasm"));
    let (out, signature) = (folder.path("").join(OsStr::from_bytes(b"\xfe")), OsStr::from_bytes(b"\xfd"));
    let signature = folder.path("").join(signature);
    for (args, out) in
        [(&["rewrite"][..], &out), (&["sign", "--key", folder.path("key").to_str().unwrap()], &signature)]
    {
        assert!(command(args).arg(&file).arg("-o").arg(out).status().unwrap().success());
        assert!(out.exists());
    }
}

#[test]
fn devices_and_pipes_are_not_replaced() {
    let folder = Folder::new();
    let fifo = folder.path("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
    let file = folder.artifact("good", &Engine::host());
    let elf = folder.file("m.elf", module());
    let key = folder.file("key", PrivateKey::generate().unwrap().to_pem().unwrap());
    let fifo = fifo.to_str().unwrap();
    for args in [
        &["rewrite", &file, "-o", fifo][..],
        &["sign", &file, "--key", &key, "-o", fifo],
        &["pack", &elf, "-o", fifo],
        &["extract", &file, "-d", fifo],
        &["keygen", "-o", fifo],
        &["man", fifo],
    ] {
        let ran = run(args).expect(5);
        let action = if ["extract", "keygen", "man"].contains(&args[0]) { "create" } else { "write" };
        let expected = format!("error: cannot {action} '{fifo}': ");
        assert!(ran.err.starts_with(&expected) && ran.err.lines().count() == 1, "{}", ran.err);
        assert!(fs::metadata(fifo).unwrap().file_type().is_fifo());
    }
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let file = fixture("types.cwasm");
    for (args, status) in [
        (&["inspect", &file][..], 0),
        (&["engine"], 0),
        (&["check", &file, "/missing"], 5),
        (&["check", "--json", &file, &fixture("target_win64.cwasm")], 1),
        (&["verify", &file], 0),
        (&["rewrite", &file, "-o", "-"], 0),
        (&["completions", "zsh"], 0),
        (&["--help"], 0),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran: Ran = command(args).stdout(writer).output().unwrap().into();
        let ran = ran.expect(status);
        assert!(!ran.err.contains("standard output"), "{}", ran.err);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn failed_writes_are_an_error() {
    let folder = Folder::new();
    let (good, elf) = (folder.artifact("good", &Engine::host()), folder.file("m.elf", module()));
    let key = folder.file("key", PrivateKey::generate().unwrap().to_pem().unwrap());
    let fresh = folder.path("fresh").to_str().unwrap().to_owned();
    for args in [
        &["inspect", &good][..],
        &["inspect", "--json", &good],
        &["check", &good],
        &["check", "--json", &good, &good],
        &["verify", &good],
        &["verify", "--json", &good],
        &["engine"],
        &["pack", "-o", "-", &elf],
        &["rewrite", &good, "-o", "-"],
        &["sign", &good, "--key", &key, "-o", "-"],
        &["keygen", "-o", &fresh],
        &["completions", "bash"],
        &["--help"],
        &["help", "check"],
        &["--version"],
    ] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let ran: Ran = command(args).stdout(full).output().unwrap().into();
        let err = ran.expect(5).err;
        assert_eq!(err, "error: cannot write standard output: No space left on device\n", "{args:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn standard_output_that_is_closed_is_an_error() {
    let folder = Folder::new();
    let (good, out) = (folder.artifact("good", &Engine::host()), folder.path("out").to_str().unwrap().to_owned());
    let key = folder.file("key", PrivateKey::generate().unwrap().to_pem().unwrap());
    let shell = |script: &str, args: &[&str]| -> Ran {
        let mut shell = Command::new("sh");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_artifact")]).args(args).output().unwrap().into()
    };
    for args in [
        &["inspect", &good][..],
        &["check", "--json", &good],
        &["verify", &good],
        &["engine"],
        &["rewrite", &good, "-o", "-"],
        &["sign", &good, "--key", &key, "-o", "-"],
        &["--help"],
    ] {
        let ran = shell("exec \"$0\" \"$@\" >&-", args).expect(5);
        assert_eq!(ran.err, "error: cannot write standard output: Bad file descriptor\n", "{args:?}");
        // Callers that want no output open /dev/null for it, some of them for reading and writing.
        shell("exec \"$0\" \"$@\" >/dev/null", args).expect(0);
        shell("exec \"$0\" \"$@\" 1<>/dev/null", args).expect(0);
    }
    // Who writes nothing there needs no standard output.
    shell("exec \"$0\" \"$@\" >&-", &["rewrite", &good, "-o", &out]).expect(0);
    shell("exec \"$0\" \"$@\" <&- >&- 2>&-", &["rewrite", &good, "-o", &out]).expect(0);
}

#[test]
#[cfg(target_os = "linux")]
fn the_exit_status_does_not_need_stderr() {
    for (args, status) in [(&["inspect", "/missing"][..], 5), (&["frobnicate"], 2)] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let ran: Ran = command(args).stderr(full).output().unwrap().into();
        ran.expect(status);
    }
}

/// The system would end the command with SIGXFSZ.
#[test]
fn output_beyond_the_limit_on_file_sizes_is_an_error() {
    let folder = Folder::new();
    let (file, out) = (folder.artifact("plain", &Engine::host()), folder.path("out"));
    let script = "ulimit -f 0; exec \"$0\" inspect \"$1\" > \"$2\"";
    let mut shell = std::process::Command::new("sh");
    let output = shell.args(["-c", script, env!("CARGO_BIN_EXE_artifact")]).arg(file).arg(out).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error, "error: cannot write standard output: File too large\n");
}

/// Opens a FIFO that the command reads, truncates a file once the command waits for the FIFO's content, and writes that.
fn truncate_meanwhile(mut command: Command, fifo: &Path, content: &[u8], file: &str) -> Ran {
    rustix::fs::mkfifoat(rustix::fs::CWD, fifo, rustix::fs::Mode::RWXU).unwrap();
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut writer = fs::File::options().write(true).open(fifo).unwrap();
    fs::File::options().write(true).open(file).unwrap().set_len(0).unwrap();
    writer.write_all(content).unwrap();
    drop(writer);
    fs::remove_file(fifo).unwrap();
    child.wait_with_output().unwrap().into()
}

/// What `pack` has read stays, whatever happens to the files. `rewrite` notices.
#[test]
fn inputs_that_are_truncated_before_the_output_is_written() {
    let folder = Folder::new();
    let fifo = folder.path("fifo");
    let name = fifo.to_str().unwrap();
    let elf = folder.file("m.elf", module());
    let engine = Engine::host().to_json().unwrap();
    let packed = command(&["pack", "-o", "-", "--engine", name, &elf]);
    let packed = truncate_meanwhile(packed, &fifo, engine.as_bytes(), &elf).expect(0);
    let expected = fs::read(folder.artifact("expected", &Engine::host())).unwrap();
    assert_eq!(packed.out, expected);

    // What lies between modules and trailer is read when it is compared with the digests.
    let file = folder.file("packed", &expected);
    let key = PrivateKey::generate().unwrap().to_pem().unwrap();
    let signed = command(&["rewrite", &file, "-o", "-", "--sign", name]);
    let signed = truncate_meanwhile(signed, &fifo, key.as_bytes(), &file).expect(3);
    assert!(signed.err.contains("has become shorter"), "{}", signed.err);
}

/// Another process shortens the file again and again: commands see a whole file or damage, and no signal.
#[test]
fn files_that_are_truncated_while_they_are_read() {
    let folder = Folder::new();
    let elf = [module(), vec![0; 1 << 20]].concat();
    let mut builder = Builder::new(&Engine::host());
    (0..3).for_each(|_| _ = builder.add_module(&elf).unwrap());
    let bytes = builder.serialize().unwrap();
    let (file, object) = (folder.file("file", &bytes), folder.file("object", &elf));
    let key = folder.file("key", PrivateKey::generate().unwrap().to_pem().unwrap());
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (path, bytes) in [(&file, &bytes), (&object, &elf)] {
            let ended = &ended;
            scope.spawn(move || {
                let file = fs::File::options().write(true).open(path).unwrap();
                while !ended.load(Ordering::Relaxed) {
                    file.set_len(100).unwrap();
                    file.write_all_at(bytes, 0).unwrap();
                }
            });
        }
        for _ in 0..10 {
            for args in [
                &["verify", &file][..],
                &["inspect", "--symbols", &file],
                &["check", &file],
                &["rewrite", &file, "-o", "-"],
                &["sign", &file, "--key", &key, "-o", "-"],
                &["pack", &object, "-o", "-"],
            ] {
                let ran = run(args); // fails if a signal has ended the command
                assert!([0, 3, 5].contains(&ran.status), "{args:?}: {}: {}", ran.status, ran.err);
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
}
