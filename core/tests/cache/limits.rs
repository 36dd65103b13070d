//! The folder stays within its limits, and the oldest entries go first.

use std::time::{Duration, SystemTime};

use super::*;

fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for shard in fs::read_dir(folder.join("v1")).unwrap() {
        for file in fs::read_dir(shard.unwrap().path()).unwrap() {
            names.push(file.unwrap().file_name().into_string().unwrap());
        }
    }
    names
}

/// Makes files with the names of entries, used so many seconds ago.
fn plant(folder: &Path, numbers: std::ops::Range<u32>, age: impl Fn(u32) -> i64) {
    for number in numbers {
        let path = entry(folder, number);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs::File::create(path).unwrap();
        file.set_len(100).unwrap();
        let (age, now) = (age(number), SystemTime::now());
        let distance = Duration::from_secs(age.unsigned_abs());
        file.set_modified(if age < 0 { now + distance } else { now - distance }).unwrap();
    }
}

fn exists(folder: &Path, number: u32) -> bool {
    entry(folder, number).exists()
}

#[test]
fn the_oldest_are_removed_first() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open_with(folder.path(), |options| options.max_bytes = 100 * 4096);
    // The number is the age, but for some that are from the future.
    plant(folder.path(), 0..200, |number| if number < 10 { -100_000 } else { i64::from(number) * 10 });
    assert_eq!(cache.usage().unwrap().bytes, 200 * 4096);
    assert_eq!(cache.trim().unwrap(), 120 * 4096);
    assert_eq!(cache.usage().unwrap().entries, 80);
    assert!((0..10).all(|number| !exists(folder.path(), number)));
    assert!((10..90).all(|number| exists(folder.path(), number)));
    assert_eq!(cache.stats().count(Outcome::Evicted), 120);
    assert_eq!(cache.trim().unwrap(), 0);

    let cache = open_with(folder.path(), |options| options.max_entries = 50);
    cache.trim().unwrap();
    assert_eq!(cache.usage().unwrap().entries, 40);
    let cache = open_with(folder.path(), |options| options.max_age = Some(Duration::from_secs(255)));
    cache.trim().unwrap();
    assert!((10..26).all(|number| exists(folder.path(), number)));
    assert_eq!(cache.usage().unwrap().entries, 16);
}

#[test]
fn a_clock_that_jumps_back_empties_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    plant(folder.path(), 0..20, |_| -100_000);
    assert_eq!(cache.trim().unwrap(), 0);
    // Nobody knows how old they are, so an age limit takes them.
    let cache = open_with(folder.path(), |options| options.max_age = Some(Duration::from_secs(255)));
    assert_eq!(cache.trim().unwrap(), 20 * 4096);
}

#[test]
fn what_is_larger_than_the_folder_may_be_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    plant(folder.path(), 0..20, |_| 1000);
    fs::File::options().write(true).open(entry(folder.path(), 7)).unwrap().set_len(10 << 30).unwrap();
    assert_eq!(cache.trim().unwrap(), 10 << 30);
    assert_eq!(cache.usage().unwrap().entries, 19);
}

#[test]
fn stores_keep_the_folder_within_its_limits() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open_with(folder.path(), |options| (options.max_entries, options.no_sync) = (32, true));
    let builder = built(&Engine::host(), 1);
    let mut most = 0;
    for number in 0..300 {
        cache.put(&key(number), &builder).unwrap();
        most = most.max(cache.usage().unwrap().entries);
    }
    // Every second store collects; on a slow machine, the next ones go on.
    assert!((33..=48).contains(&most), "{most}");
    let events = cache.stats();
    assert_eq!(events.count(Outcome::Stored) - events.count(Outcome::Evicted), cache.usage().unwrap().entries);
    // What is larger than the folder may be is not stored.
    let cache = open_with(folder.path(), |options| options.max_bytes = 1000);
    assert_is(cache.put(&key(1000), &builder), Outcome::NotStored, 1);
}

#[test]
fn of_one_second_too_the_oldest_is_first() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open_with(folder.path(), |options| options.max_entries = 5);
    let second = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    plant(folder.path(), 0..10, |_| 0);
    for number in 0..10 {
        let file = fs::File::options().write(true).open(entry(folder.path(), number)).unwrap();
        file.set_modified(second + Duration::from_millis(u64::from(number))).unwrap();
    }
    cache.trim().unwrap();
    assert!((0..10).all(|number| exists(folder.path(), number) == (number >= 6)));
}

#[test]
fn a_mapped_entry_outlives_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open_with(folder.path(), |options| options.max_entries = 0);
    let made = cache.get_or_make(&key(1), |builder| fill(builder, 1)).unwrap().artifact.unwrap();
    cache.trim().unwrap();
    assert!(!exists(folder.path(), 1));
    made.verify().unwrap();
    assert_is(cache.get(&key(1)), Outcome::Hit, 1);
}

#[test]
fn only_what_the_cache_made_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open_with(folder.path(), |options| options.max_entries = 0);
    plant(folder.path(), 0..5, |_| 10);
    let shard = entry(folder.path(), 0).parent().unwrap().to_owned();
    let old = SystemTime::now() - Duration::from_secs(100);
    let temporary = |name: &str, time| {
        let file = fs::File::create(shard.join(name)).unwrap();
        file.set_modified(time).unwrap();
    };
    let own = shard.file_name().unwrap().to_str().unwrap();
    let digest = |end: &str| format!("{own}{}{end}", "0".repeat(62));
    let writing = |number: u32| format!(".{}.0123456789abcde{number}.tmp", digest(".0123456789abcdef"));
    temporary(&writing(0), old);
    temporary(&writing(1), SystemTime::now());
    temporary(&writing(2), SystemTime::now() + Duration::from_secs(100));
    let foreign = [
        "note".to_owned(),
        ".note.tmp".to_owned(),
        ".note.0123456789abcdef.tmp".to_owned(),
        digest(""),
        digest(".0"),
        digest(".0123456789ABCDEF"),
        digest(".0123456789abcdef0"),
    ];
    foreign.iter().for_each(|name| temporary(name, old));
    fs::create_dir(shard.join(digest(".0123456789abcdef"))).unwrap();
    let wrong_shard = format!("{}.0123456789abcdef", if own == "ff" { "0" } else { "f" }.repeat(64));
    temporary(&wrong_shard, old);
    cache.trim().unwrap();
    let mut left = names(folder.path());
    left.sort();
    let mut expected: Vec<String> = foreign.to_vec();
    expected.extend([writing(1), digest(".0123456789abcdef"), wrong_shard]);
    expected.sort();
    assert_eq!(left, expected);
    assert_eq!(cache.usage().unwrap().entries, 0);
}

#[test]
fn every_entry_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let missing = open_with(&folder.path().join("missing"), |options| options.read_only = true);
    assert_eq!(missing.usage().unwrap().entries, 0);
    let cache = open(folder.path());
    cache.put(&key(1), &built(&Engine::host(), 1)).unwrap();
    plant(folder.path(), 2..20, |_| 1000);
    let mut found = Vec::new();
    cache
        .each(|entry| {
            found.push(entry.path.clone());
            if entry.key == key(1).digest() {
                assert_eq!(entry.target, Engine::host().fingerprint()[..8]);
                assert!(SystemTime::now().duration_since(entry.used).unwrap() < Duration::from_secs(100));
            }
            Ok(())
        })
        .unwrap();
    found.sort();
    let mut expected: Vec<_> = (1..20).map(|number| entry(folder.path(), number)).collect();
    expected.sort();
    assert_eq!(found, expected);
    let stop = cache.each(|_| Err(artifact::Error::new(Status::Limit, "enough"))).unwrap_err();
    assert_eq!(stop.message(), "enough");
}

#[test]
fn one_process_collects() {
    let folder = tempfile::tempdir().unwrap();
    let cache =
        open_with(folder.path(), |options| (options.max_entries, options.wait) = (1, Duration::from_millis(20)));
    plant(folder.path(), 0..5, |_| 10);
    let lock = fs::File::options().read(true).write(true).open(folder.path().join("lock"));
    let lock = lock.or_else(|_| fs::File::create(folder.path().join("lock"))).unwrap();
    // SAFETY: zeros are a valid value, and the struct outlives the call.
    let locked = unsafe {
        let mut range: libc::flock = std::mem::zeroed();
        (range.l_type, range.l_start, range.l_len) = (libc::F_WRLCK as _, 1 << 30, 1);
        libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&lock), libc::F_OFD_SETLK, &raw const range)
    };
    assert_eq!(locked, 0);
    assert_eq!(cache.trim().unwrap_err().status(), Status::Limit);
    drop(lock);
    assert_eq!(cache.trim().unwrap(), 5 * 4096);
}
