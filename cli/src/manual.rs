//! `artifact man` and `artifact completions`: what packages install with the program. Hidden from the help.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use artifact::storage::{Sync, replace};
use clap::Command;
use clap_complete::Shell;

use crate::cli;
use crate::failure::Failure;
use crate::output::{CommandResult, Console};

/// Write the manual pages: artifact.1 and one page for each command
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  artifact man man1; man -l man1/artifact.1")]
pub struct Man {
    /// Directory to write the pages to; created if it does not exist
    directory: PathBuf,
}

/// Print a shell's completion script
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  artifact completions bash > ~/.local/share/bash-completion/completions/artifact")]
pub struct Completions {
    /// Shell to complete for
    shell: Shell,
}

pub fn man(args: &Man) -> CommandResult {
    let directory = &args.directory;
    fs::create_dir_all(directory).map_err(|error| Failure::io("create", directory, &error))?;
    let mut root = cli().disable_help_subcommand(true);
    root.build();
    write(&root, directory)
}

/// Writes the page of a command and those of its subcommands.
fn write(command: &Command, directory: &Path) -> CommandResult {
    let file = directory.join(format!("{}.1", name(command)));
    let mut text = Vec::new();
    page(command, &mut text).map_err(|error| Failure::io("write", &file, &error))?;
    replace(&file, &[&text], Sync::No).map_err(|error| Failure::storage("write", &file, error))?;
    let mut shown = command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help");
    shown.try_for_each(|command| write(command, directory))
}

/// The name of a command's page, such as `artifact-pack`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

fn page(command: &Command, out: &mut Vec<u8>) -> io::Result<()> {
    let after_help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let source = format!("artifact {}", env!("CARGO_PKG_VERSION"));
    let man = clap_mangen::Man::new(command.clone()).title(name(command).to_uppercase()).source(source);
    man.render_title(out)?;
    // Do not hyphenate or justify: it makes command lines hard to read.
    writeln!(out, ".nh\n.ad l")?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    if command.has_subcommands() {
        man.render_subcommands_section(out)?;
    } else {
        man.render_options_section(out)?;
    }
    sections(&after_help, out)?;
    if name(command) != "artifact" {
        writeln!(out, ".SH SEE ALSO\n\\fBartifact\\fR(1)")?;
    }
    Ok(())
}

/// Renders what follows the options in the help: paragraphs become NOTES, a heading with indented lines becomes a section
/// whose lines are kept as they are.
fn sections(text: &str, out: &mut Vec<u8>) -> io::Result<()> {
    let (headed, plain): (Vec<&str>, Vec<&str>) = text.split("\n\n").partition(|block| block.contains(":\n  "));
    for (index, block) in plain.iter().filter(|block| !block.is_empty()).enumerate() {
        writeln!(out, "{}\n{}", if index == 0 { ".SH NOTES" } else { ".PP" }, escape(block))?;
    }
    for block in headed {
        let (heading, lines) = block.split_once('\n').unwrap_or((block, ""));
        let heading = heading.trim_end_matches(':').to_uppercase();
        writeln!(out, ".SH {heading}\n.nf\n{}\n.fi", escape(lines))?;
    }
    Ok(())
}

/// Escapes text for roff: hyphens stay ASCII and can be copied, and no line starts a request.
fn escape(text: &str) -> String {
    let line = |line: &str| {
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        format!("{guard}{}", line.replace('\\', "\\e").replace('-', "\\-"))
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

pub fn completions(args: &Completions, console: &mut Console) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli(), "artifact", &mut script);
    Ok(console.write_all(&script)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_help_as_roff() {
        let mut out = Vec::new();
        sections("One -\n.two\\\n\nThree\n\nExamples:\n  artifact -x\n  'y", &mut out).unwrap();
        let expected = ".SH NOTES\nOne \\-\n\\&.two\\e\n.PP\nThree\n.SH EXAMPLES\n.nf\n  artifact \\-x\n  'y\n.fi\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
