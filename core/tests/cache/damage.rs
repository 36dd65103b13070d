//! What is wrong with the folder or an entry is an outcome, and the next store replaces it.

use std::os::unix::fs::{FileTypeExt, symlink};
use std::time::{Duration, SystemTime};

use super::*;

/// Damages an entry, and checks that it is found to be damaged, replaced, and found again.
#[track_caller]
fn damaged(expected: Outcome, damage: impl Fn(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    cache.put(&key(1), &built(&Engine::host(), 1)).unwrap();
    damage(&entry(folder.path(), 1));
    assert_miss(cache.get(&key(1)), expected);
    assert_is(cache.get_or_make(&key(1), |builder| fill(builder, 2)), Outcome::Made, 2);
    assert_is(open(folder.path()).get(&key(1)), Outcome::Hit, 2);
}

fn change(path: &Path, change: impl Fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

pub fn mkfifo(path: &Path) {
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: a C string.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

#[test]
fn damaged_entries_are_replaced() {
    for len in [0, 1, 100, 1000] {
        damaged(Outcome::Damaged, |path| change(path, |bytes| bytes.truncate(len)));
    }
    damaged(Outcome::Damaged, |path| change(path, |bytes| bytes.truncate(bytes.len() - 1)));
    damaged(Outcome::Damaged, |path| change(path, |bytes| bytes.push(0)));
    damaged(Outcome::Damaged, |path| {
        change(path, |bytes| {
            let at = bytes.len() - 200;
            bytes[at] ^= 1;
        });
    });
}

#[test]
fn what_is_no_file_is_replaced() {
    let instead = |make: fn(&Path)| {
        move |path: &Path| {
            fs::remove_file(path).unwrap();
            make(path);
        }
    };
    damaged(Outcome::Damaged, instead(|path| fs::create_dir(path).unwrap()));
    damaged(Outcome::Damaged, instead(mkfifo));
    damaged(Outcome::Damaged, instead(|path| symlink("/etc/passwd", path).unwrap()));
    damaged(Outcome::Damaged, instead(|path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())));
    // A link to a good entry is followed neither in place of an entry nor of its subfolder.
    damaged(Outcome::Damaged, |path| {
        fs::rename(path, path.with_extension("moved")).unwrap();
        symlink(path.with_extension("moved"), path).unwrap();
    });
    damaged(Outcome::Damaged, |path| {
        let (folder, moved) = (path.parent().unwrap(), path.parent().unwrap().with_extension("moved"));
        fs::rename(folder, &moved).unwrap();
        symlink(moved, folder).unwrap();
    });
    damaged(Outcome::Damaged, |path| {
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path.parent().unwrap(), "").unwrap();
    });
    // A folder with something in it stays.
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    fs::create_dir_all(entry(folder.path(), 1).join("x")).unwrap();
    assert_is(cache.get_or_make(&key(1), |builder| fill(builder, 1)), Outcome::NotStored, 1);
    assert!(entry(folder.path(), 1).join("x").exists());
}

#[test]
fn a_renamed_entry_is_never_another_keys() {
    damaged(Outcome::Damaged, |path| {
        let folder = path.ancestors().nth(3).unwrap();
        let other = open(folder);
        other.put(&key(7), &built(&Engine::host(), 7)).unwrap();
        fs::rename(entry(folder, 7), path).unwrap();
    });
    // An artifact that no cache has stored has no key.
    damaged(Outcome::Damaged, |path| {
        built(&Engine::host(), 1).serialize_to_file(path, artifact::builder::Sync::No).unwrap();
    });
}

#[test]
fn entries_of_others_are_told_apart() {
    let place = |engine: fn() -> Engine| {
        move |path: &Path| {
            let folder = tempfile::tempdir().unwrap();
            let engine = engine();
            let other = Cache::open(folder.path(), &engine, CacheOptions::default()).unwrap();
            other.put(&key(1), &built(&engine, 1)).unwrap();
            fs::copy(entry_of(folder.path(), 1, &engine), path).unwrap();
        }
    };
    damaged(
        Outcome::Stale,
        place(|| {
            let mut engine = Engine::host();
            engine.set_version_rule(VersionRule::Custom("2".into())).unwrap();
            engine
        }),
    );
    damaged(
        Outcome::Stale,
        place(|| {
            let mut engine = Engine::host();
            engine.set_producer("other").unwrap();
            engine
        }),
    );
    damaged(
        Outcome::Incompatible,
        place(|| {
            let mut engine = Engine::host();
            let on = artifact::format::flags::Flag::Bool(true);
            engine.set_flag(FlagMap::Shared, "other", on).unwrap();
            engine
        }),
    );
    damaged(Outcome::Untrusted, |path| fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap());
    damaged(Outcome::Untrusted, |path| {
        // Only root can give files away. Others test something that they may do.
        if std::os::unix::fs::chown(path, Some(12345), None).is_err() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o620)).unwrap();
        }
    });
}

#[test]
fn damaged_code_is_found_where_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let damage = |number| {
        change(&entry(folder.path(), number), |bytes| {
            let at = bytes.len() / 4; // within the module
            bytes[at] ^= 1;
        });
    };
    open(folder.path()).put(&key(1), &built(&Engine::host(), 1)).unwrap();
    damage(1);
    // The bar of opening: nothing reads the code.
    assert_is(open(folder.path()).get(&key(1)), Outcome::Hit, 1);
    let verifying = open_with(folder.path(), |options| options.verify_always = true);
    assert_miss(verifying.get(&key(1)), Outcome::Damaged);
    // What was not synced is verified by everybody.
    let unsynced = open_with(folder.path(), |options| options.no_sync = true);
    assert_is(unsynced.put(&key(2), &built(&Engine::host(), 2)), Outcome::Stored, 2);
    assert_is(open(folder.path()).get(&key(2)), Outcome::Hit, 2);
    damage(2);
    assert_miss(open(folder.path()).get(&key(2)), Outcome::Damaged);
}

#[test]
fn hits_refresh_the_age() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    cache.put(&key(1), &built(&Engine::host(), 1)).unwrap();
    let file = fs::File::options().write(true).open(entry(folder.path(), 1)).unwrap();
    let now = SystemTime::now();
    let hour = Duration::from_secs(3600);
    let age_after_hit = |time: SystemTime| {
        file.set_modified(time).unwrap();
        assert_is(cache.get(&key(1)), Outcome::Hit, 1);
        file.metadata().unwrap().modified().unwrap()
    };
    assert_eq!(age_after_hit(now - hour / 2), now - hour / 2);
    assert!(age_after_hit(now - 2 * hour) >= now - hour / 60);
    // A clock that was wrong has left its traces.
    assert!(age_after_hit(now + 24 * hour) < now + hour);
    let reader = open_with(folder.path(), |options| options.read_only = true);
    file.set_modified(now - 2 * hour).unwrap();
    assert_is(reader.get(&key(1)), Outcome::Hit, 1);
    assert_eq!(file.metadata().unwrap().modified().unwrap(), now - 2 * hour);
}

#[test]
fn a_read_only_cache_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("cache");
    let read_only = |options: &mut CacheOptions| options.read_only = true;
    let cache = open_with(&folder, read_only);
    assert_miss(cache.get(&key(1)), Outcome::Absent);
    assert!(!folder.exists());
    assert_is(cache.get_or_make(&key(1), |builder| fill(builder, 1)), Outcome::NotStored, 1);
    assert!(!folder.exists());
    assert_eq!(cache.remove(&key(1)).unwrap_err().status(), Status::InvalidArgument);
    assert_eq!(cache.trim().unwrap_err().status(), Status::InvalidArgument);
    open(&folder).put(&key(1), &built(&Engine::host(), 2)).unwrap();
    assert_is(cache.get(&key(1)), Outcome::Hit, 2);
}

#[test]
fn without_locks_everybody_makes_for_himself() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("lock")).unwrap();
    let cache = open(folder.path());
    assert_is(cache.get_or_make(&key(1), |builder| fill(builder, 1)), Outcome::Made, 1);
    assert_eq!(cache.stats().count(Outcome::NotLocked), 1);
    assert_eq!(cache.trim().unwrap_err().errno(), libc::EISDIR);
    assert_is(open(folder.path()).get(&key(1)), Outcome::Hit, 1);
}

#[test]
fn who_cannot_store_cannot_lock() {
    for (mode, lock) in [(0o755, 0o600), (0o700, 0o600), (0o555, 0)] {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("v1")).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        let _ = open(folder.path()).get_or_make(&key(1), |builder| fill(builder, 1)).unwrap();
        let found = fs::metadata(folder.path().join("lock")).map_or(0, |found| found.permissions().mode() & 0o777);
        assert_eq!(found, lock, "{mode:o}");
    }
}

/// Runs a test in a child process, as user 12345 if this is root. Returns false if `prepare` says that it can't be done here.
pub fn in_child(prepare: impl FnOnce() -> bool, test: impl FnOnce()) -> bool {
    // SAFETY: the child runs the test, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let run = std::panic::AssertUnwindSafe(|| if prepare() { (test(), 0).1 } else { 77 });
        let status = std::panic::catch_unwind(run).unwrap_or(1);
        // SAFETY: ends the process.
        unsafe { libc::_exit(status) };
    }
    let mut status = -1;
    // SAFETY: the child, and a number to write to.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!([0, 77].contains(&libc::WEXITSTATUS(status)) && libc::WIFEXITED(status), "the child failed: {status}");
    libc::WEXITSTATUS(status) == 0
}

/// Becomes an ordinary user. Permissions mean nothing to root.
pub fn become_user() -> bool {
    // SAFETY: changes the user of this process only.
    unsafe {
        libc::geteuid() != 0 || libc::setgroups(0, std::ptr::null()) | libc::setgid(12345) | libc::setuid(12345) == 0
    }
}

#[test]
fn permissions_are_outcomes() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("cache");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let _ = std::os::unix::fs::chown(&folder, Some(12345), Some(12345));
    in_child(become_user, || {
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(&folder, 0o700);
        let cache = open(&folder);
        assert_is(cache.put(&key(1), &built(&Engine::host(), 1)), Outcome::Stored, 1);
        mode(&entry(&folder, 1), 0o000);
        assert_miss(cache.get(&key(1)), Outcome::Unreadable);
        mode(entry(&folder, 1).parent().unwrap(), 0o500);
        let kept = cache.get_or_make(&key(1), |builder| fill(builder, 2)).unwrap();
        assert_eq!((kept.outcome, kept.error.as_ref().unwrap().errno()), (Outcome::NotStored, libc::EACCES));
        drop(kept); // as long as it is open, it is shared
        mode(entry(&folder, 1).parent().unwrap(), 0o700);
        assert_is(cache.get_or_make(&key(1), |builder| fill(builder, 2)), Outcome::Made, 2);
        // A folder that nothing can be made in.
        mode(&folder, 0o500);
        let below = open(&folder.join("below"));
        assert_eq!(below.trouble().unwrap().errno(), libc::EACCES);
        assert_miss(below.get(&key(1)), Outcome::Unreadable);
        assert_is(below.get_or_make(&key(1), |builder| fill(builder, 1)), Outcome::NotStored, 1);
        // One that belongs to somebody else, of whom root is none.
        mode(&folder, 0o777);
        let shared = open(&folder);
        assert_eq!(shared.trouble().unwrap().status(), Status::Untrusted);
        assert_miss(shared.get(&key(1)), Outcome::Untrusted);
        assert_is(shared.get_or_make(&key(1), |builder| fill(builder, 1)), Outcome::NotStored, 1);
        mode(&folder, 0o700);
        // Neither may others be able to replace it.
        fs::create_dir(folder.join("open")).unwrap();
        mode(&folder.join("open"), 0o777);
        assert_eq!(open(&folder.join("open/cache")).trouble().unwrap().status(), Status::Untrusted);
        mode(&folder.join("open"), 0o1777);
        assert!(open(&folder.join("open/cache")).trouble().is_none());
        // No descriptor is left.
        let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        let cache = open(&folder);
        // SAFETY: a struct that outlives the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
        assert_miss(cache.get(&key(1)), Outcome::Unreadable);
        assert_is(cache.get_or_make(&key(1), |builder| fill(builder, 1)), Outcome::NotStored, 1);
    });
}

/// Mounts a file system of 1 MiB, in a namespace of this process.
fn mount_tmpfs(path: &Path) -> bool {
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    let (none, kind) = (std::ptr::null(), c"tmpfs".as_ptr());
    // SAFETY: C strings, which outlive the calls.
    unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) == 0
            && libc::mount(kind, path.as_ptr(), kind, 0, c"size=1m,mode=0700".as_ptr().cast()) == 0
    }
}

fn remount_read_only(path: &Path) {
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    let flags = libc::MS_REMOUNT | libc::MS_RDONLY;
    // SAFETY: C strings, which outlive the call.
    let mounted = unsafe { libc::mount(std::ptr::null(), path.as_ptr(), std::ptr::null(), flags, std::ptr::null()) };
    assert_eq!(mounted, 0);
}

#[test]
fn a_full_disk_makes_room() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("mounted");
    fs::create_dir(&folder).unwrap();
    in_child(
        || mount_tmpfs(&folder),
        || {
            let cache = open(&folder);
            let padding = vec![7; 100_000];
            for number in 0..40 {
                let made = cache.get_or_make(&key(number), |builder| {
                    fill(builder, number)?;
                    builder.set_attribute("padding", &padding)
                });
                assert_is(made, Outcome::Made, number);
            }
            assert!(cache.stats().count(Outcome::Evicted) >= 30);
            assert_is(open(&folder).get(&key(39)), Outcome::Hit, 39);
            let too_large = cache.get_or_make(&key(40), |builder| {
                fill(builder, 40)?;
                builder.set_attribute("padding", &vec![7; 2_000_000])
            });
            assert_is(too_large, Outcome::NotStored, 40);
            for shard in fs::read_dir(folder.join("v1")).unwrap() {
                for file in fs::read_dir(shard.unwrap().path()).unwrap() {
                    let file = file.unwrap();
                    assert!(file.file_type().unwrap().is_file() && !file.file_type().unwrap().is_fifo());
                    assert!(!file.file_name().to_str().unwrap().ends_with(".tmp"));
                }
            }
            assert_is(cache.get_or_make(&key(41), |builder| fill(builder, 41)), Outcome::Made, 41);
            remount_read_only(&folder);
            let full = cache.get_or_make(&key(42), |builder| fill(builder, 42)).unwrap();
            assert_eq!((full.outcome, full.error.unwrap().errno()), (Outcome::NotStored, libc::EROFS));
            let reopened = open(&folder);
            assert!(reopened.trouble().is_none());
            assert_is(reopened.get(&key(41)), Outcome::Hit, 41);
        },
    );
}
