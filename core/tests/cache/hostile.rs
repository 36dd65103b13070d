//! A folder that somebody has tampered with, and a process that has run out of what it needs: a slower program, never a wrong or dead one.

use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::thread;
use std::time::{Duration, Instant};

use artifact::PrivateKey;
use artifact::cache::Signer;

use super::damage::{become_user, in_child, mkfifo};
use super::processes::{kill, pipe, start};
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

/// Rows of a pack only lead to an entry, as names of files do.
#[test]
fn a_pack_that_lies_gives_no_other_keys_code() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    open(&path("shipped")).put(&key(1), &built(&Engine::host(), 1)).unwrap();
    let target = *Engine::host().fingerprint().first_chunk().unwrap();
    let mut rows = [2, 3].map(|number| key(number).digest());
    rows.sort_unstable();
    let mut rows = rows.into_iter();
    pack::write(&path("pack"), &Default::default(), &mut || {
        let Some(key) = rows.next() else { return Ok(None) };
        let artifact = Artifact::open(&entry(&path("shipped"), 1), None, &OpenOptions::default())?;
        Ok(Some(pack::Packed { key, target, artifact }))
    })
    .unwrap();
    let cache = open_with(&path("own"), |options| options.layers = vec![path("pack")]);
    assert_miss(cache.get(&key(2)), Outcome::Damaged);
    assert_is(cache.get_or_make(&key(3), |builder| fill(builder, 3)), Outcome::Made, 3);
    assert_miss(cache.get(&key(1)), Outcome::Absent);
}

/// User 12345 does in a shared folder what he can; root goes on.
#[test]
fn a_stranger_in_a_shared_folder_slows_down_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(folder.path(), 0o1777);
    let own = Arc::new(PrivateKey::generate().unwrap());
    let mut engine = Engine::host();
    engine.trust(own.public());
    let signing = || {
        let signer = Some(Signer::Key(Arc::clone(&own)));
        let options = options(|options| (options.signer, options.wait) = (signer, Duration::from_millis(100)));
        Cache::open(folder.path(), &engine, options).unwrap()
    };
    let kinds: [&dyn Fn(&Path); 5] = [
        &|path| fs::write(path, "").unwrap(),
        &|path| fs::File::create(path).unwrap().set_len(1 << 36).unwrap(),
        &mkfifo,
        &|path| symlink("/etc/passwd", path).unwrap(),
        &|path| {
            fs::create_dir(path).unwrap();
            fs::write(path.join("full"), "").unwrap();
        },
    ];
    assert_is(signing().get_or_make(&key(0), |builder| fill(builder, 0)), Outcome::Made, 0);
    for kind in kinds {
        for number in 1..3 {
            fs::create_dir_all(entry(folder.path(), number).parent().unwrap()).unwrap();
        }
        for path in [folder.path().join("v1"), entry(folder.path(), 1).parent().unwrap().to_owned()] {
            mode(&path, 0o1777);
        }
        let (mut done, is_done) = pipe();
        let stranger = start(|| {
            let mut is_done = is_done; // closed in the parent
            assert!(become_user());
            kind(&entry(folder.path(), 1));
            let shard = entry(folder.path(), 2).parent().unwrap().to_owned();
            let _ = fs::remove_dir_all(&shard);
            if !shard.exists() {
                kind(&shard);
            }
            is_done.write_all(b".").unwrap();
            thread::sleep(Duration::from_secs(600));
        });
        done.read_exact(&mut [0]).unwrap();
        let cache = signing();
        for number in 0..3 {
            let found = cache.get_or_make(&key(number), |builder| fill(builder, number)).unwrap();
            assert_eq!(number_of(&found.artifact.unwrap()), number);
        }
        let _ = (cache.trim(), cache.usage(), cache.export(&folder.path().join("pack"), &Default::default()));
        kill(stranger);
        fs::remove_dir_all(folder.path().join("v1")).unwrap();
    }
}
