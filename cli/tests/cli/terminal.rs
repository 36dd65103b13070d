//! What only terminals show: colours and progress.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};

use artifact::trust::keys::PrivateKey;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{Folder, command, fixture, garbled, genuine, module, run};

/// The user's side of a pseudoterminal.
struct Terminal(File);

impl Terminal {
    /// Starts a command with this terminal as its standard output and error.
    fn start(mut command: Command) -> (Terminal, Child) {
        let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&user).unwrap();
        unlockpt(&user).unwrap();
        let name = ptsname(&user, Vec::new()).unwrap();
        let mut options = File::options();
        let program = options.read(true).write(true).custom_flags(libc::O_NOCTTY).open(name.to_str().unwrap()).unwrap();
        let child = command
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            // Makes some programs colour any output.
            .env("CI", "true")
            .stdin(Stdio::piped())
            .stdout(program.try_clone().unwrap())
            .stderr(program)
            .spawn()
            .unwrap();
        (Terminal(File::from(user)), child)
    }

    /// Reads until this text has been seen, or until the command ends.
    fn until(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        let mut byte = [0];
        while !String::from_utf8_lossy(&seen).ends_with(text) || text.is_empty() {
            match self.0.read(&mut byte) {
                Ok(1) => seen.push(byte[0]),
                Ok(_) => break,
                // EIO: the command has ended.
                Err(error) if error.raw_os_error() == Some(libc::EIO) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}"),
            }
        }
        String::from_utf8(seen).unwrap().replace("\r\n", "\n")
    }
}

/// Returns what a command shows on a terminal.
pub fn shown(command: Command) -> String {
    let (mut terminal, mut child) = Terminal::start(command);
    drop(child.stdin.take());
    // The command holds the terminal open until it ends.
    let seen = terminal.until("");
    child.wait().unwrap();
    seen
}

#[test]
fn verdicts_have_colours_on_a_terminal() {
    let folder = Folder::new();
    let good = fixture("addfib.cwasm");
    let odd = folder.file("odd", [&genuine("addfib")[..], b"and more"].concat());
    let bad = folder.file("bad", garbled(b"0.33.0"));
    let seen = shown(command(&["verify", &good, &odd, &bad]));
    assert!(seen.contains(&format!("{good}: \x1b[32mOK\x1b[0m\n")), "{seen:?}");
    assert!(seen.contains(&format!("{odd}: \x1b[33m8 unknown bytes follow")), "{seen:?}");
    assert!(seen.contains(&format!("\x1b[31merror:\x1b[0m '{bad}': ")), "{seen:?}");
    let seen = shown(command(&["verify", "--strict", &odd]));
    assert!(seen.contains(&format!("{odd}: \x1b[31m8 unknown bytes follow")), "{seen:?}");
    let seen = shown(command(&["check", &good, &fixture("target_win64.cwasm")]));
    assert!(seen.contains(&format!("{good}: \x1b[32mcompatible (made by wasmtime 0.33.0)")), "{seen:?}");
    assert!(seen.contains(": \x1b[31mModule was compiled for operating system "), "{seen:?}");
    let seen = shown(command(&["inspect", &good]));
    assert!(seen.contains("\n\x1b[1mtunables:\x1b[0m\n"), "{seen:?}");
}

#[test]
fn colours_can_be_turned_off() {
    let file = fixture("addfib.cwasm");
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        for args in [&["verify", &file, "/missing"][..], &["inspect", &file], &["check", &file], &["--help"]] {
            // `env` overrides the TERM that `Terminal::start` sets.
            let mut shell = Command::new("env");
            shell.arg(format!("{name}={value}")).arg(env!("CARGO_BIN_EXE_artifact")).args(args);
            let seen = shown(shell);
            assert!(!seen.is_empty() && !seen.contains('\x1b'), "{name}: {seen:?}");
        }
    }
    let seen = shown(command(&["inspect", "--json", &file]));
    assert!(seen.starts_with("{\n") && !seen.contains('\x1b'));
}

#[test]
fn binary_data_is_not_written_to_a_terminal() {
    let folder = Folder::new();
    let (file, elf) = (fixture("addfib.cwasm"), folder.file("elf", module()));
    let key = folder.file("key", PrivateKey::generate().unwrap().to_pem().unwrap());
    for args in
        [&["rewrite", &file, "-o", "-"][..], &["pack", &elf, "-o", "-"], &["sign", &file, "--key", &key, "-o", "-"]]
    {
        let seen = shown(command(args));
        let expected = "\x1b[31merror:\x1b[0m cannot write standard output: binary data is not written to a terminal\n";
        assert_eq!(seen, expected, "{args:?}");
    }
}

#[test]
fn help_fits_the_terminal() {
    for width in [60, 100] {
        let mut narrow = command(&["extract", "--help"]);
        narrow.env("COLUMNS", width.to_string());
        let help = String::from_utf8(narrow.output().unwrap().stdout).unwrap();
        let longest = help.lines().map(str::len).max().unwrap();
        assert!((width - 20..=width).contains(&longest), "{longest}: {help}");
    }
}

#[test]
fn progress_appears_after_a_second_and_is_erased() {
    let (mut terminal, mut child) = Terminal::start(command(&["verify", "-"]));
    let seen = terminal.until(", 1 s");
    assert_eq!(seen, "\r\x1b[?7lverifying -, 1 s");
    child.stdin.take().unwrap().write_all(&genuine("addfib")).unwrap();
    let seen = terminal.until("");
    assert!(seen.ends_with("\r\x1b[K-: \x1b[32mOK\x1b[0m\n"), "{seen:?}");
    assert!(child.wait().unwrap().success());
}

#[test]
fn commands_show_progress() {
    let folder = Folder::new();
    let at = |name: &str| folder.path(name).to_str().unwrap().to_owned();
    let key = folder.file("key", PrivateKey::generate().unwrap().to_pem().unwrap());
    let (out, parts, signature) = (at("out"), at("parts"), at("signature"));
    let commands = [
        (&["inspect", "-"][..], "reading -".to_owned()),
        (&["check", "-"], "checking -".to_owned()),
        (&["extract", "-", "-d", &parts], "extracting -".to_owned()),
        (&["rewrite", "-", "-o", &out], "reading -".to_owned()),
        (&["sign", "-", "--key", &key, "-o", &signature], "signing -".to_owned()),
        (&["run", "-", "f"], "loading -".to_owned()),
        (&["pack", "-", "-o", &out], format!("packing {out}")),
    ];
    // In parallel: each takes a second.
    let started = commands.map(|(args, what)| (Terminal::start(command(args)), what));
    for ((mut terminal, mut child), what) in started {
        assert_eq!(terminal.until(", 1 s"), format!("\r\x1b[?7l{what}, 1 s"));
        drop(child.stdin.take());
        let rest = terminal.until("");
        assert!(rest.contains("\r\x1b[K\x1b[31merror:\x1b[0m standard input: module"), "{what}: {rest:?}");
        assert!(!child.wait().unwrap().success());
    }
}

#[test]
fn no_progress_without_a_terminal() {
    let mut child =
        command(&["verify", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1200));
    child.stdin.take().unwrap().write_all(&genuine("addfib")).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"-: OK\n"[..], &b""[..]));
}

#[test]
fn wrong_arguments_are_shown_without_their_control_characters() {
    let hostile = ["\x1b[2J\x1b]0;title\x07", "\u{9b}31m", "\u{202e}abc", "a\rb", "\x08\x7f", "\u{200b}"];
    for text in hostile {
        for args in [vec![text], vec!["check", "--no-such", text], vec!["run", "file", "f", text], vec!["-x", text]] {
            let mut args: Vec<String> = args.iter().map(ToString::to_string).collect();
            for option in ["", "--"] {
                let last = args.len() - 1;
                args[last] = format!("{option}{text}");
                for seen in [shown(command(&args)), run(&args).expect(2).err] {
                    assert!(seen.contains("error:"), "{seen:?}");
                    assert!(!seen.contains(|c: char| c != '\n' && artifact::error::needs_escape(c)), "{seen:?}");
                }
            }
        }
    }
    // Others have colours.
    assert!(shown(command(&["frobnicate"])).contains("\x1b["));
}
