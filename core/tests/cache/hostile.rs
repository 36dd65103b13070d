//! A folder that somebody has tampered with, and a process that has run out of what it needs: a slower program, never a wrong or dead one.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use super::damage::{in_child, mkfifo};
use super::*;

#[track_caller]
fn still_makes(folder: &Path) {
    let started = Instant::now();
    let cache = open(folder);
    for number in 1..3 {
        let made = cache.get_or_make(&key(number), |builder| fill(builder, number)).unwrap();
        assert_eq!(number_of(&made.artifact.unwrap()), number);
    }
    let _ = cache.get(&key(3)).unwrap();
    let _ = (cache.remove(&key(1)), cache.trim(), cache.usage(), cache.trouble());
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// Places in a folder of which each is something else than the cache expects.
#[test]
fn whatever_lies_in_the_folder_the_code_is_made() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("file"), "theirs").unwrap();
    let kinds: [&dyn Fn(&Path); 7] = [
        &|path| fs::create_dir(path).unwrap(),
        &|path| fs::write(path, "text").unwrap(),
        &mkfifo,
        &|path| symlink(outside.path(), path).unwrap(),
        &|path| symlink(outside.path().join("file"), path).unwrap(),
        &|path| symlink(path, path).unwrap(),
        &|path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
    ];
    let shard = |number| entry(Path::new(""), number).parent().unwrap().to_owned();
    for place in [PathBuf::from("lock"), "CACHEDIR.TAG".into(), "v1".into(), shard(1), entry(Path::new(""), 1)] {
        for kind in kinds {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(&place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            kind(&path);
            still_makes(folder.path());
        }
    }
    for kind in kinds {
        let above = tempfile::tempdir().unwrap();
        kind(&above.path().join("cache"));
        still_makes(&above.path().join("cache"));
    }
    assert_eq!(fs::read(outside.path().join("file")).unwrap(), b"theirs");
}

#[test]
fn descriptors_may_run_out_at_any_point() {
    let folder = tempfile::tempdir().unwrap();
    in_child(
        || true,
        || {
            let cache = open_with(folder.path(), |options| options.no_sync = true);
            let next = fs::File::open("/").unwrap();
            let used = std::os::fd::AsRawFd::as_raw_fd(&next) as u64;
            let (mut made, mut kept) = (0, 0);
            for room in 0..16 {
                let limit = libc::rlimit { rlim_cur: used + room, rlim_max: 4096 };
                // SAFETY: a struct that outlives the call.
                assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
                for _ in 0..2 {
                    let number = room as u32;
                    let found = cache.get_or_make(&key(number), |builder| fill(builder, number)).unwrap();
                    match found.outcome {
                        Outcome::NotStored => kept += 1,
                        Outcome::Made | Outcome::Hit => made += 1,
                        other => panic!("{other}"),
                    }
                    assert_eq!(number_of(&found.artifact.unwrap()), number);
                }
            }
            assert!(kept > 0 && made > 0, "{kept} {made}");
        },
    );
}
