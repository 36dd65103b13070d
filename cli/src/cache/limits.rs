//! `artifact cache trim` and `clear`: removing entries.

use std::time::Duration;

use artifact::engine::Engine;
use serde::Serialize;

use super::{FolderArgs, open};
use crate::failure::Failure;
use crate::output::{CommandResult, Console, Style};

/// Remove the entries of a cache that were not used for longest, until it is within limits
///
/// Removes what was not used for longer than --max-age. If the rest is beyond --max-bytes or --max-entries, removes the entries that
/// were not used for longest until four fifths of that limit are left. Also removes temporary files of processes that have died.
/// Processes that have an entry open keep it.
#[derive(clap::Args)]
#[command(after_help = "\
SIZE is a number of bytes, with K, M, G or T for multiples of 1024. AGE is a number of seconds, or of minutes, hours or days with m, h \
or d.

With --json, prints {\"folder\", \"removed_bytes\", \"entries\", \"bytes\"}: how much was removed, and what is left.

Examples:
  artifact cache trim --max-bytes 200M ~/.cache/compiler
  artifact cache trim --max-age 30d --max-entries 10000 ~/.cache/compiler")]
pub struct Trim {
    #[command(flatten)]
    folder: FolderArgs,
    /// Size that the folder may have
    #[arg(long, value_name = "SIZE", value_parser = size, required_unless_present_any = ["max_entries", "max_age"])]
    max_bytes: Option<u64>,
    /// Number of entries that the folder may have
    #[arg(long, value_name = "COUNT")]
    max_entries: Option<u64>,
    /// How long an entry may have been unused
    #[arg(long, value_name = "AGE", value_parser = age)]
    max_age: Option<Duration>,
}

/// Remove all entries of a cache
///
/// Removes what the cache has made: entries, and temporary files of processes that have died. Other files stay, and so does the folder:
/// other processes may be using it, and go on to do so. Asks no questions.
#[derive(clap::Args)]
#[command(after_help = "\
With --json, prints {\"folder\", \"removed_bytes\", \"entries\", \"bytes\"}: how much was removed, and what is left.

Examples:
  artifact cache clear ~/.cache/compiler")]
pub struct Clear {
    #[command(flatten)]
    folder: FolderArgs,
}

#[derive(Serialize)]
struct Removed<'a> {
    folder: &'a str,
    removed_bytes: u64,
    entries: u64,
    bytes: u64,
}

pub fn trim(args: &Trim, console: &mut Console) -> CommandResult {
    let Trim { folder: args, max_bytes, max_entries, max_age } = args;
    let cache = open(&args.folder, &Engine::host(), |options| {
        options.read_only = false;
        options.max_bytes = max_bytes.unwrap_or(u64::MAX);
        options.max_entries = max_entries.unwrap_or(u64::MAX);
        options.max_age = *max_age;
    })?;
    let progress = console.progress("trimming", &args.folder)?;
    let removed = cache.trim().map_err(|error| Failure::cannot("trim", &args.folder, error))?;
    let left = cache.usage().map_err(|error| Failure::storage("read", &args.folder, error))?;
    drop(progress);
    print(args, removed, left.entries, left.bytes, console)
}

pub fn clear(args: &Clear, console: &mut Console) -> CommandResult {
    let args = &args.folder;
    let cache = open(&args.folder, &Engine::host(), |options| options.read_only = false)?;
    let progress = console.progress("clearing", &args.folder)?;
    let removed = cache.clear().map_err(|error| Failure::storage("clear", &args.folder, error))?;
    let left = cache.usage().map_err(|error| Failure::storage("read", &args.folder, error))?;
    drop(progress);
    print(args, removed.bytes, left.entries, left.bytes, console)
}

fn print(args: &FolderArgs, removed_bytes: u64, entries: u64, bytes: u64, console: &mut Console) -> CommandResult {
    if args.json {
        let folder = &args.folder.to_string_lossy();
        return console.json(&Removed { folder, removed_bytes, entries, bytes });
    }
    let text = format!("{removed_bytes} bytes removed, {entries} entries of {bytes} bytes left");
    Ok(console.line(&args.folder, &text, Style::Success)?)
}

/// Parses a number with the name of a unit after it.
fn number(text: &str, units: &[(char, u64)], expected: &'static str) -> Result<u64, &'static str> {
    let unit = units.iter().find_map(|(name, size)| Some((text.strip_suffix(*name)?, *size)));
    let (digits, size) = unit.unwrap_or((text, 1));
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let number = if is_number { digits.parse::<u64>().ok() } else { None };
    number.and_then(|number| number.checked_mul(size)).ok_or(expected)
}

fn size(text: &str) -> Result<u64, &'static str> {
    let units = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)];
    number(text, &units, "expected a number of bytes below 2^64, such as 500M")
}

fn age(text: &str) -> Result<Duration, &'static str> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    number(text, &units, "expected an age, such as 30d").map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages() {
        assert_eq!(["0", "17", "2K", "3M", "1G", "5T"].map(size), [0, 17, 2048, 3 << 20, 1 << 30, 5 << 40].map(Ok));
        for wrong in ["", "K", "-1", "+1", "1.5G", "1k", "16777216T", "99999999999999999999", "1 M"] {
            size(wrong).unwrap_err();
        }
        let ages = [("7", 7), ("7s", 7), ("2m", 120), ("1h", 3600), ("30d", 30 * 86_400)];
        assert!(ages.into_iter().all(|(text, seconds)| age(text) == Ok(Duration::from_secs(seconds))));
        age("1w").unwrap_err();
    }
}
