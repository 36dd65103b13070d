//! `artifact cache`.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use artifact::builder::Builder;
use artifact::cache::{Cache, CacheOptions, Key};
use artifact::engine::Engine;

use crate::json::Json;
use crate::support::{Folder, module, run};

const BLOCK: usize = 4096;

/// A cache with this number of entries. Returns the folder and the files, sorted.
fn cache(folder: &Folder, count: u8) -> (String, Vec<PathBuf>) {
    let (engine, path, mut options) = (Engine::host(), folder.path("cache"), CacheOptions::default());
    options.no_sync = true;
    let cache = Cache::open(&path, &engine, options).unwrap();
    let elf = module();
    for number in 0..count {
        let mut key = Key::new();
        key.add("number", &[number]);
        let mut builder = Builder::new(&engine);
        builder.add_module(&elf).unwrap();
        cache.put(&key, &builder).unwrap();
    }
    let mut files = Vec::new();
    cache
        .each(|entry| {
            files.push(entry.path.clone());
            Ok(())
        })
        .unwrap();
    files.sort();
    assert_eq!(files.len(), usize::from(count));
    (path.to_str().unwrap().to_owned(), files)
}

fn size(files: &[PathBuf]) -> usize {
    files.iter().map(|file| (fs::metadata(file).unwrap().len() as usize).next_multiple_of(BLOCK)).sum()
}

fn name(file: &std::path::Path) -> &str {
    file.file_name().unwrap().to_str().unwrap()
}

/// Lets a file look as if it had been used at some time before now.
fn age(file: &std::path::Path, age: Duration) {
    fs::File::options().write(true).open(file).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

#[test]
fn stat_and_list() {
    let folder = Folder::new();
    let (path, files) = cache(&folder, 3);
    age(&files[1], Duration::from_secs(2 * 86_400 + 7));
    let total = size(&files);
    let shown = run(&["cache", "stat", &path]).expect(0);
    let lines: Vec<_> = shown.out().lines().collect();
    assert_eq!(
        lines[..4],
        [&format!("{path}: cache"), "entries\t3", &format!("bytes\t{total}"), "oldest\tused 2 d ago"]
    );
    assert!(lines[4].starts_with("newest\tused ") && lines[4].ends_with(" s ago"), "{lines:?}");
    let json = run(&["cache", "stat", "--json", &path]).expect(0).json();
    assert_eq!(json.keys(), ["folder", "entries", "bytes", "oldest", "newest"]);
    assert_eq!((json.get("entries"), json.get("bytes")), (&Json::number(3), &Json::number(total)));

    let shown = run(&["cache", "list", &path]).expect(0);
    let lines: Vec<_> = shown.out().lines().collect();
    assert_eq!((lines.len(), lines[0]), (4, "key and target\tbytes\tused"));
    assert_eq!(lines[2], format!("{}\t{}\t2 d ago", name(&files[1]), size(&files[1..2])));
    let shown = run(&["cache", "list", "--json", &path]).expect(0);
    for (line, file) in shown.out().lines().zip(&files) {
        let json = Json::parse(line.as_bytes());
        assert_eq!(json.keys(), ["key", "target", "bytes", "used", "file"]);
        assert_eq!(format!("{}.{}", json.get("key").text(), json.get("target").text()), name(file));
        assert_eq!(json.get("file").text(), file.to_str().unwrap());
        run(&["inspect", json.get("file").text()]).expect(0);
    }
    // An empty cache has no entries, which is no error.
    run(&["cache", "clear", &path]).expect(0);
    assert_eq!(run(&["cache", "list", &path]).expect(0).out(), "");
    assert_eq!(run(&["cache", "stat", &path]).expect(0).out(), format!("{path}: cache\nentries\t0\nbytes\t0\n"));
    assert_eq!(run(&["cache", "stat", "--json", &path]).expect(0).json().get("oldest"), &Json::Null);
}

#[test]
fn a_folder_that_is_no_cache_stays_as_it_is() {
    let folder = Folder::new();
    let (missing, other) = (folder.path("missing"), folder.path("other"));
    fs::create_dir(&other).unwrap();
    fs::write(other.join("letter"), "mine").unwrap();
    let output = folder.path("out");
    for path in [&missing, &other] {
        let path = path.to_str().unwrap();
        for args in [&["stat"][..], &["list"], &["verify"], &["trim", "--max-bytes", "0"], &["clear"]] {
            let ran = run(&[&["cache"], args, &[path]].concat()).expect(5);
            assert_eq!(ran.err, format!("error: cannot open '{path}': No such file or directory\n"), "{args:?}");
        }
        run(&["cache", "pack", path, "-o", output.to_str().unwrap()]).expect(5);
    }
    assert!(!missing.exists() && !output.exists());
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
}

#[test]
fn verify_names_what_is_damaged() {
    let folder = Folder::new();
    let (path, files) = cache(&folder, 4);
    assert_eq!(run(&["cache", "verify", &path]).expect(0).out(), format!("{path}: 4 entries are OK\n"));
    let mut bytes = fs::read(&files[1]).unwrap();
    bytes[100] ^= 1;
    fs::write(&files[1], bytes).unwrap();
    fs::copy(&files[0], &files[2]).unwrap();
    let ran = run(&["cache", "verify", &path]).expect(3);
    assert_eq!(ran.out(), format!("{path}: 2 entries are OK, 2 are not\n"));
    let errors: Vec<_> = ran.err.lines().collect();
    assert_eq!(errors.len(), 2);
    assert!(errors[0].contains(name(&files[1])) && errors[0].contains("digest mismatch"), "{errors:?}");
    assert!(errors[1].contains(name(&files[2])) && errors[1].contains("expected the entry of key"), "{errors:?}");
    let ran = run(&["cache", "verify", "--json", &path]).expect(3);
    let statuses: Vec<_> = ran.out().lines().map(|line| Json::parse(line.as_bytes()).get("status").clone()).collect();
    assert_eq!(statuses, [0, 13, 12, 0].map(Json::number));
    let key = folder.path("key");
    let public = folder.file("key.pub", run(&["keygen", "-o", key.to_str().unwrap()]).expect(0).out());
    assert_eq!(run(&["cache", "verify", "--trust", &public, &path]).expect(4).err.lines().count(), 4);
}

#[test]
fn trim_removes_the_oldest() {
    let folder = Folder::new();
    let (path, files) = cache(&folder, 10);
    // Half a day, one and a half, and so on.
    for (half_days, file) in (1..).step_by(2).zip(&files) {
        age(file, Duration::from_secs(half_days * 43_200));
    }
    let left = |expected: &[PathBuf]| {
        let found: Vec<_> = files.iter().filter(|file| file.exists()).collect();
        assert_eq!(found, expected.iter().collect::<Vec<_>>());
    };
    let args = ["cache", "trim", "--max-age", "8d", &path];
    let (removed, rest) = (size(&files[8..]), size(&files[..8]));
    assert_eq!(
        run(&args).expect(0).out(),
        format!("{path}: {removed} bytes removed, 8 entries of {rest} bytes left\n")
    );
    left(&files[..8]);
    run(&["cache", "trim", "--max-entries", "8", "--max-bytes", "1T", &path]).expect(0);
    left(&files[..8]);
    let json = run(&["cache", "trim", "--json", "--max-entries", "5", &path]).expect(0).json();
    assert_eq!(json.keys(), ["folder", "removed_bytes", "entries", "bytes"]);
    assert_eq!(json.get("entries"), &Json::number(4));
    left(&files[..4]);
    run(&["cache", "trim", "--max-bytes", &(size(&files[..4]) - 1).to_string(), &path]).expect(0);
    left(&files[..3]);
    run(&["cache", "trim", "--max-bytes", "0", &path]).expect(0);
    left(&[]);
    for args in [&["trim"][..], &["trim", "--max-bytes", "1X"], &["trim", "--max-age", "never"]] {
        run(&[&["cache"], args, &[path.as_str()]].concat()).expect(2);
    }
}

#[test]
fn pack_writes_what_is_sound_and_signs_it() {
    let folder = Folder::new();
    let (path, files) = cache(&folder, 3);
    let (output, key) = (folder.path("out.pack"), folder.path("key"));
    let (output, key) = (output.to_str().unwrap(), key.to_str().unwrap());
    let public = folder.file("key.pub", run(&["keygen", "-o", key]).expect(0).out());
    let bytes: u64 = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    let ran = run(&["cache", "pack", &path, "-o", output, "--key", key]).expect(0);
    assert_eq!(ran.out(), format!("{output}: 3 entries of {bytes} bytes packed\n"));
    run(&["verify", "--strict", "--trust", &public, output]).expect(0);
    let shown = run(&["inspect", output]).expect(0);
    assert!(files.iter().all(|file| shown.out().contains(name(file))), "{}", shown.out());
    let first = fs::read(output).unwrap();
    run(&["cache", "pack", &path, "-o", output, "--key", key]).expect(0);
    assert!(first == fs::read(output).unwrap(), "deterministic");
    // What is damaged is left out.
    fs::write(&files[1], "damaged").unwrap();
    let ran = run(&["cache", "pack", "--json", "--align", "64", &path, "-o", output]).expect(3);
    assert!(ran.err.contains(name(&files[1])), "{}", ran.err);
    assert_eq!(ran.json().get("entries"), &Json::number(2));
    let shown = run(&["inspect", output]).expect(0);
    assert!(shown.out().contains("alignment\t64 bytes\nsignature\tnone\n"), "{}", shown.out());
    // Only what is signed is packed for a reader who says so.
    let ran = run(&["cache", "pack", &path, "-o", output, "--trust", &public]).expect(4);
    assert!(ran.out().ends_with(": 0 entries of 0 bytes packed\n"), "{}", ran.out());
    for align in ["0", "12", "4", "4194304", "x"] {
        run(&["cache", "pack", "--align", align, &path, "-o", output]).expect(2);
    }
    run(&["cache", "pack", &path, "-o", "-"]).expect(5);
    run(&["cache", "pack", &path, "-o", output, "--key", &public]).expect(5);
}

#[test]
fn clear_removes_entries_only() {
    let folder = Folder::new();
    let (path, files) = cache(&folder, 3);
    let stranger = files[0].with_file_name("notes");
    fs::write(&stranger, "mine").unwrap();
    let removed = size(&files);
    let ran = run(&["cache", "clear", &path]).expect(0);
    assert_eq!(ran.out(), format!("{path}: {removed} bytes removed, 0 entries of 0 bytes left\n"));
    assert!(files.iter().all(|file| !file.exists()) && stranger.exists());
    let json = run(&["cache", "clear", "--json", &path]).expect(0).json();
    assert_eq!(json.get("removed_bytes"), &Json::number(0));
}
