//! `artifact man` and `artifact completions`.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::{COMMANDS, Folder, Ran, run};

#[test]
fn manual_pages() {
    let folder = Folder::new();
    let directory = folder.path("man1");
    let ran = run(&["man", directory.to_str().unwrap()]).expect(0);
    assert_eq!((ran.out(), ran.err.as_str()), ("", ""));
    let mut names: Vec<_> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let of_cache = ["clear", "list", "pack", "stat", "trim", "verify"].map(|command| format!("cache-{command}"));
    let mut expected: Vec<_> = COMMANDS
        .map(str::to_owned)
        .into_iter()
        .chain(of_cache)
        .map(|command| format!("artifact-{command}.1"))
        .collect();
    expected.push("artifact.1".to_owned());
    expected.sort();
    assert_eq!(names, expected);
    for name in names {
        let page = fs::read_to_string(directory.join(&name)).unwrap();
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "EXAMPLES"] {
            assert!(page.contains(&format!("\n.SH {section}\n")), "{name}: {section}");
        }
        assert_eq!(page.contains("\n.SH SEE ALSO\n\\fBartifact\\fR(1)"), name != "artifact.1", "{name}");
        let version = env!("CARGO_PKG_VERSION");
        assert!(page.contains(&format!("\"artifact {version}\"")), "{name}");
    }
    let main = fs::read_to_string(directory.join("artifact.1")).unwrap();
    assert!(!main.contains("completions"));
    let file = folder.file("file", "x");
    run(&["man", &file]).expect(5);
}

#[test]
fn completions() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).expect(0);
        for command in COMMANDS {
            assert!(script.out().contains(command), "{shell}: {command}");
        }
    }
    run(&["completions", "cmd"]).expect(2);
}

#[test]
fn bash_completes() {
    let complete = r#"source /dev/stdin; COMP_WORDS=(artifact ex); COMP_CWORD=1
        _artifact artifact ex artifact; echo "${COMPREPLY[@]}"
        COMP_WORDS=(artifact pack --m); COMP_CWORD=2
        _artifact artifact --m pack; echo "${COMPREPLY[@]}""#;
    let script = run(&["completions", "bash"]).expect(0);
    let mut command = Command::new("bash");
    // bash prints a warning if the locale is not installed.
    command
        .args(["--norc", "-c", complete])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // Skipped without bash.
    let Ok(mut child) = command.spawn() else { return };
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &script.out).unwrap();
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!((ran.out(), ran.err.as_str()), ("extract\n--metadata\n", ""));
}
