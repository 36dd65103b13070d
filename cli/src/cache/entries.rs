//! `artifact cache stat`, `list` and `verify`: what the folder has, and whether it is whole.

use std::time::{Duration, SystemTime};

use artifact::cache::{Cache, Entry};
use artifact::engine::Engine;
use serde::Serialize;

use super::{FolderArgs, TrustArgs, open};
use crate::facts::hex;
use crate::failure::Failure;
use crate::output::{CommandResult, Console, Outcome, Style};
use crate::verdict::{self, Checked, Format};

/// Column widths, for [`Console::row`].
const FACT: [isize; 2] = [9, 0];
const ENTRY: [isize; 3] = [81, -10, -8];

/// Show how many entries a cache has, how large they are, and when they were used
///
/// Sizes count in full blocks of 4 KiB. A use counts up to once an hour.
#[derive(clap::Args)]
#[command(after_help = "\
With --json, prints {\"folder\", \"entries\", \"bytes\", \"oldest\", \"newest\"}. The times are those of the last use of the entry \
that was not used for longest and of the one that was used last, in seconds since 1970; null if there are no entries.

Examples:
  artifact cache stat ~/.cache/compiler
  artifact cache stat --json ~/.cache/compiler | jq .bytes")]
pub struct Stat {
    #[command(flatten)]
    folder: FolderArgs,
}

/// List the entries of a cache: key, target, size, and how long ago each was used
///
/// The key is a digest of what the program gave as the key. The target is the beginning of the fingerprint of the engine that the entry
/// was made for. They are the name of the entry's file.
#[derive(clap::Args)]
#[command(after_help = "\
With --json, prints one line for each entry: {\"key\", \"target\", \"bytes\", \"used\", \"file\"}. \"used\" is in seconds since 1970.

Examples:
  artifact cache list ~/.cache/compiler
  artifact cache list --json ~/.cache/compiler | jq -r .file | xargs -n 1 artifact inspect")]
pub struct List {
    #[command(flatten)]
    folder: FolderArgs,
}

/// Verify every entry of a cache: digests, tables, and that it belongs to the key in its name
///
/// Prints what is wrong, and how many entries are sound. A cache treats a damaged entry as missing and replaces it.
#[derive(clap::Args)]
#[command(after_help = "\
With --json, prints one line for each entry, as `artifact verify --json` does for each file.

Examples:
  artifact cache verify ~/.cache/compiler
  artifact cache verify --trust release.pub /var/cache/compiler")]
pub struct Verify {
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    pub trust: TrustArgs,
}

#[derive(Serialize)]
struct Facts<'a> {
    folder: &'a str,
    entries: usize,
    bytes: u64,
    oldest: Option<i64>,
    newest: Option<i64>,
}

#[derive(Serialize)]
struct Listed<'a> {
    key: String,
    target: String,
    bytes: u64,
    used: i64,
    file: &'a str,
}

/// Returns the entries, sorted by key and target.
fn entries(cache: &Cache, args: &FolderArgs) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    let listed = cache.each(|entry| {
        entries.push(entry.clone());
        Ok(())
    });
    listed.map_err(|error| Failure::storage("read", &args.folder, error))?;
    entries.sort_by_key(|entry| (entry.key, entry.target));
    Ok(entries)
}

pub fn stat(args: &Stat, console: &mut Console) -> CommandResult {
    let args = &args.folder;
    let progress = console.progress("reading", &args.folder)?;
    let entries = entries(&open(&args.folder, &Engine::host(), |_| ())?, args)?;
    drop(progress);
    let bytes = entries.iter().map(|entry| entry.size).fold(0, u64::saturating_add);
    let times = || entries.iter().map(|entry| entry.used);
    let (oldest, newest) = (times().min(), times().max());
    if args.json {
        let folder = &args.folder.to_string_lossy();
        let (oldest, newest) = (oldest.map(seconds), newest.map(seconds));
        return console.json(&Facts { folder, entries: entries.len(), bytes, oldest, newest });
    }
    console.line(&args.folder, "cache", Style::Heading)?;
    console.row(FACT, ["entries", &entries.len().to_string()])?;
    console.row(FACT, ["bytes", &bytes.to_string()])?;
    for (name, time) in [("oldest", oldest), ("newest", newest)] {
        time.map_or(Ok(()), |time| console.row(FACT, [name, &format!("used {}", ago(time))]))?;
    }
    Ok(())
}

pub fn list(args: &List, console: &mut Console) -> CommandResult {
    let args = &args.folder;
    let progress = console.progress("reading", &args.folder)?;
    let entries = entries(&open(&args.folder, &Engine::host(), |_| ())?, args)?;
    drop(progress);
    if !args.json && !entries.is_empty() {
        console.row(ENTRY, ["key and target", "bytes", "used"])?;
    }
    entries.iter().try_for_each(|entry| print(entry, args.json, console))
}

fn print(entry: &Entry, json: bool, console: &mut Console) -> CommandResult {
    let Entry { key, target, size, used, path, .. } = entry;
    let (key, target) = (hex(key), hex(target));
    if json {
        let file = &path.to_string_lossy();
        return console.json_line(&Listed { key, target, bytes: *size, used: seconds(*used), file });
    }
    Ok(console.row(ENTRY, [&format!("{key}.{target}"), &size.to_string(), &ago(*used)])?)
}

pub fn verify(args: &Verify, console: &mut Console) -> CommandResult {
    let Verify { folder: args, trust } = args;
    let cache = open(&args.folder, &trust.engine()?, |_| ())?;
    let progress = console.progress("verifying", &args.folder)?;
    let entries = entries(&cache, args)?;
    let (mut sound, mut results) = (0, Vec::new());
    for entry in entries {
        let result = match cache.verify(&entry) {
            // Removed meanwhile.
            Err(error) if error.errno() == libc::ENOENT => continue,
            result => result.map(Checked::from).map_err(|error| Failure::in_file(&entry.path, error)),
        };
        sound += usize::from(result.is_ok());
        if args.json || result.as_ref().map_or(true, Checked::has_findings) {
            results.push((entry.path, result));
        }
    }
    drop(progress);
    let format = Format { json: args.json, all: true, success: "OK", finding: Outcome::Success };
    for (path, result) in &results {
        verdict::print(console, path, result, &format, None)?;
    }
    if args.json {
        return Ok(());
    }
    let damaged = results.iter().filter(|(_, result)| result.is_err()).count();
    let text = match damaged {
        0 => format!("{sound} entries are OK"),
        _ => format!("{sound} entries are OK, {damaged} are not"),
    };
    let style = if damaged == 0 { Style::Success } else { Style::Error };
    Ok(console.line(&args.folder, &text, style)?)
}

/// Returns a time in seconds since 1970.
fn seconds(time: SystemTime) -> i64 {
    let signed = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => signed(since),
        Err(before) => -signed(before.duration()),
    }
}

/// Says how long ago a time was, in its largest whole unit.
fn ago(time: SystemTime) -> String {
    let Ok(age) = SystemTime::now().duration_since(time) else { return "in the future".to_owned() };
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let (size, unit) = units.into_iter().find(|(size, _)| age.as_secs() >= *size).unwrap_or((1, "s"));
    format!("{} {unit} ago", age.as_secs() / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_the_largest_whole_unit() {
        let texts = [0, 59, 60, 3599, 3600, 86_399, 86_400, 864_000].map(|age| {
            // In the middle of the second, so that a slow test has the same result.
            ago(SystemTime::now() - Duration::from_millis(age * 1000 + 300))
        });
        assert_eq!(
            texts,
            ["0 s ago", "59 s ago", "1 min ago", "59 min ago", "1 h ago", "23 h ago", "1 d ago", "10 d ago"]
        );
        assert_eq!(ago(SystemTime::now() + Duration::from_secs(60)), "in the future");
        assert_eq!(seconds(SystemTime::UNIX_EPOCH - Duration::from_secs(7)), -7);
    }
}
