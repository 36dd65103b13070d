//! `artifact man` and `artifact completions`: what packages install beside the program. Hidden from others.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use artifact::error::Error;
use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::Cli;
use crate::output::{Console, Done, Stop};

/// Writes the manual pages: artifact.1 and one per command
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  artifact man man1; man -l man1/artifact.1")]
pub struct Man {
    /// Where to write; made if it isn't there
    directory: PathBuf,
}

/// Prints what a shell reads to complete arguments
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  artifact completions bash > ~/.local/share/bash-completion/completions/artifact")]
pub struct Completions {
    /// The shell
    shell: Shell,
}

pub fn man(args: &Man) -> Done {
    let about = |what: &str, file: &Path, error| Stop::File(file.to_owned(), Error::io(what, &error));
    let directory = &args.directory;
    fs::create_dir_all(directory).map_err(|error| about("making the folder", directory, error))?;
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    for command in std::iter::once(&root).chain(root.get_subcommands().filter(|command| !command.is_hide_set())) {
        let file = directory.join(format!("{}.1", name(command)));
        let mut text = Vec::new();
        let written = page(command, &mut text).and_then(|()| fs::write(&file, &text));
        written.map_err(|error| about("writing a manual page", &file, error))?;
    }
    Ok(())
}

/// `artifact-pack` of the command `pack`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

fn page(command: &Command, out: &mut Vec<u8>) -> io::Result<()> {
    let more = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let source = format!("artifact {}", env!("CARGO_PKG_VERSION"));
    let man = clap_mangen::Man::new(command.clone()).title(name(command).to_uppercase()).source(source);
    man.render_title(out)?;
    // Command lines read badly hyphenated, or with gaps.
    writeln!(out, ".nh\n.ad l")?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    if command.has_subcommands() {
        man.render_subcommands_section(out)?;
    } else {
        man.render_options_section(out)?;
    }
    notes(&more, out)?;
    if !command.has_subcommands() {
        writeln!(out, ".SH SEE ALSO\n\\fBartifact\\fR(1), for the exit status too")?;
    }
    Ok(())
}

/// What stands below the help: paragraphs, and headings with lines that stay as they are.
fn notes(text: &str, out: &mut Vec<u8>) -> io::Result<()> {
    let (headed, plain): (Vec<&str>, Vec<&str>) = text.split("\n\n").partition(|block| block.contains(":\n  "));
    for (index, block) in plain.iter().filter(|block| !block.is_empty()).enumerate() {
        writeln!(out, "{}\n{}", if index == 0 { ".SH NOTES" } else { ".PP" }, escaped(block))?;
    }
    for block in headed {
        let (heading, lines) = block.split_once('\n').unwrap_or((block, ""));
        let heading = heading.trim_end_matches(':').to_uppercase();
        writeln!(out, ".SH {heading}\n.nf\n{}\n.fi", escaped(lines))?;
    }
    Ok(())
}

/// Text as roff takes it: dashes that can be copied, no line that begins like a request.
fn escaped(text: &str) -> String {
    let line = |line: &str| {
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        format!("{guard}{}", line.replace('\\', "\\e").replace('-', "\\-"))
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

pub fn completions(args: &Completions, console: &mut Console) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "artifact", &mut script);
    Ok(console.write_all(&script)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_roff() {
        let mut out = Vec::new();
        notes("One -\n.two\\\n\nThree\n\nExamples:\n  artifact -x\n  'y", &mut out).unwrap();
        let expected = ".SH NOTES\nOne \\-\n\\&.two\\e\n.PP\nThree\n.SH EXAMPLES\n.nf\n  artifact \\-x\n  'y\n.fi\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
