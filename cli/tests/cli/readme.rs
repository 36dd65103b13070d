//! Runs the commands in README and compares their output with what README shows.

use std::path::Path;
use std::process::Command;

use crate::support::{COMMANDS, Folder, Ran, between, run};

const README: &str = include_str!("../../../README.md");

/// The lines of indented code blocks.
fn code(text: &str) -> String {
    text.lines().filter_map(|line| line.strip_prefix("    ")).map(|line| format!("{line}\n")).collect()
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn output_is_as_in_readme() {
    let folder = Folder::new();
    folder.file("fib.c", code(between(README, "Save this as `fib.c`:\n", "and this as `first.c`")));
    let shell = |line: &str| -> Ran {
        let program = Path::new(env!("CARGO_BIN_EXE_artifact"));
        let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(folder.0.path()).env("PATH", path);
        Ran::from(shell.output().unwrap()).expect(0)
    };
    // c_tests/readme tests the C program. Here, `artifact pack` takes its place.
    shell("cc -O2 -fPIC -c fib.c && artifact pack -o fib.artifact --object fib.o");
    let shown = code(between(README, "The command line works on the same file:\n", "\n### "));
    let commands: Vec<&str> = shown.split("$ ").filter(|command| !command.is_empty()).collect();
    assert_eq!(commands.len(), 3);
    for command in commands {
        let (line, output) = command.split_once('\n').unwrap();
        assert_eq!(shell(line).out(), output, "{line}");
    }
}

#[test]
fn readme_lists_each_command() {
    let listed = between(README, "## The command line\n", "\n## ");
    for command in COMMANDS {
        let help = run(&[command, "--help"]).expect(0);
        let line = listed.lines().find(|line| line.starts_with(&format!("    artifact {command} ")));
        let line = line.unwrap_or_else(|| panic!("no {command}"));
        for option in line.split(|c: char| !c.is_ascii_lowercase() && c != '-').filter(|word| word.starts_with("--")) {
            assert!(help.out().contains(option), "{command}: {option}");
        }
    }
}
