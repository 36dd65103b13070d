//! Many threads and processes that ask for the same: one makes it, whatever becomes of the others.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// A pipe: the end to read from, and the one to write to.
pub fn pipe() -> (fs::File, fs::File) {
    let mut ends = [0; 2];
    // SAFETY: an array of two; the new descriptors are nobody else's.
    unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (fs::File::from_raw_fd(ends[0]), fs::File::from_raw_fd(ends[1]))
    }
}

/// Starts a process.
pub fn start(run: impl FnOnce()) -> libc::pid_t {
    // SAFETY: the child runs this, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let status = i32::from(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
        // SAFETY: ends the process.
        unsafe { libc::_exit(status) };
    }
    assert!(child > 0);
    child
}

/// Waits for a process, and returns its status.
fn wait(child: libc::pid_t) -> i32 {
    let mut status = -1;
    // SAFETY: the child, and a number to write to.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    status
}

pub fn kill(child: libc::pid_t) {
    // SAFETY: a child of this process.
    assert_eq!(unsafe { libc::kill(child, libc::SIGKILL) }, 0);
    assert_eq!(wait(child), libc::SIGKILL);
}

/// Notes that it was called, and makes the code.
fn make(folder: &Path) -> impl FnOnce(&mut Builder<'_>) -> Result<()> {
    let calls = folder.join("calls");
    move |builder| {
        let mut calls = fs::File::options().create(true).append(true).open(calls).unwrap();
        calls.write_all(b".").unwrap();
        thread::sleep(Duration::from_millis(50));
        fill(builder, 1)
    }
}

fn calls(folder: &Path) -> u64 {
    fs::metadata(folder.join("calls")).map_or(0, |calls| calls.len())
}

#[test]
fn a_stampede_of_processes_makes_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut gate, open_gate) = pipe();
    let children: Vec<_> = (0..8)
        .map(|_| {
            start(|| {
                let cache = open(folder.path());
                let mut end = Vec::new();
                // SAFETY: the child's copy, which would keep the gate closed.
                unsafe { libc::close(std::os::fd::AsRawFd::as_raw_fd(&open_gate)) };
                gate.read_to_end(&mut end).unwrap();
                let lookup = cache.get_or_make(&key(1), make(folder.path())).unwrap();
                assert!([Outcome::Made, Outcome::MadeByOther, Outcome::Hit].contains(&lookup.outcome));
                assert_eq!(number_of(&lookup.artifact.unwrap()), 1);
            })
        })
        .collect();
    drop(open_gate);
    assert!(children.into_iter().all(|child| wait(child) == 0));
    assert_eq!(calls(folder.path()), 1);
}

#[test]
fn a_stampede_of_threads_makes_once() {
    let folder = tempfile::tempdir().unwrap();
    for cache in [open(folder.path()), open_with(&folder.path().join("none"), |options| options.read_only = true)] {
        let before = calls(folder.path());
        let barrier = std::sync::Barrier::new(8);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        let lookup = cache.get_or_make(&key(1), make(folder.path())).unwrap();
                        (lookup.outcome, lookup.artifact.unwrap())
                    })
                })
                .collect();
            // The artifacts live until all have one: where nothing can be stored, that is what is shared.
            let found: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            let made = found.iter().filter(|(outcome, _)| [Outcome::Made, Outcome::NotStored].contains(outcome));
            assert_eq!(made.count(), 1);
        });
        assert_eq!(calls(folder.path()), before + 1);
    }
}

#[test]
fn who_stores_gets_what_he_stored() {
    let folder = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for number in [1, 2] {
            let cache = open_with(folder.path(), |options| options.no_sync = true);
            scope.spawn(move || {
                let builder = built(&Engine::host(), number);
                (0..300).for_each(|_| assert_is(cache.put(&key(1), &builder), Outcome::Stored, number));
            });
        }
    });
}

#[test]
fn the_turn_of_a_killed_process_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let (mut making, mut is_making) = pipe();
    let holder = start(|| {
        let stuck = open(folder.path()).get_or_make(&key(1), |builder| {
            make(folder.path())(builder)?;
            is_making.write_all(b".").unwrap();
            thread::sleep(Duration::from_secs(600));
            Ok(())
        });
        drop(stuck);
    });
    making.read_exact(&mut [0]).unwrap();
    let waiting = start(|| {
        let started = Instant::now();
        let lookup = open(folder.path()).get_or_make(&key(1), make(folder.path())).unwrap();
        assert_eq!(lookup.outcome, Outcome::Made);
        assert!(started.elapsed() > Duration::from_millis(150));
    });
    thread::sleep(Duration::from_millis(200));
    kill(holder);
    assert_eq!(wait(waiting), 0);
    assert_eq!(calls(folder.path()), 2);
    assert_is(open(folder.path()).get(&key(1)), Outcome::Hit, 1);
}

#[test]
fn waiting_has_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let (mut making, mut is_making) = pipe();
    let holder = start(|| {
        let stuck = open(folder.path()).get_or_make(&key(1), |_| {
            is_making.write_all(b".").unwrap();
            thread::sleep(Duration::from_secs(600));
            Ok(())
        });
        drop(stuck);
    });
    making.read_exact(&mut [0]).unwrap();
    let cache = open_with(folder.path(), |options| options.wait = Duration::from_millis(50));
    assert_is(cache.get_or_make(&key(2), |builder| fill(builder, 2)), Outcome::Made, 2);
    assert_eq!(cache.stats().count(Outcome::NotLocked), 0);
    assert_is(cache.get_or_make(&key(1), |builder| fill(builder, 1)), Outcome::Made, 1);
    assert_eq!(cache.stats().count(Outcome::NotLocked), 1);
    kill(holder);
}

#[test]
fn who_locks_everything_costs_one_wait() {
    let folder = tempfile::tempdir().unwrap();
    let wait = Duration::from_secs(2);
    let cache = open_with(folder.path(), |options| options.wait = wait);
    assert_is(cache.get_or_make(&key(0), |builder| fill(builder, 0)), Outcome::Made, 0);
    let file = fs::File::options().read(true).write(true).open(folder.path().join("lock")).unwrap();
    // SAFETY: a struct of numbers, of which zeros are the whole file.
    let mut all: libc::flock = unsafe { std::mem::zeroed() };
    all.l_type = libc::F_WRLCK as libc::c_short;
    // SAFETY: an open descriptor, and a struct that outlives the call.
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const all) }, 0);
    let started = Instant::now();
    for number in 1..20 {
        assert_is(cache.get_or_make(&key(number), |builder| fill(builder, number)), Outcome::Made, number);
        assert_is(cache.get(&key(number)), Outcome::Hit, number);
    }
    assert!((wait..4 * wait).contains(&started.elapsed()), "{:?}", started.elapsed());
    assert_eq!(cache.stats().count(Outcome::NotLocked), 19);
}

#[test]
fn a_make_that_fails_fails_only_its_caller() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    thread::scope(|scope| {
        let (made, is_made) = std::sync::mpsc::channel();
        let cache = &cache;
        let failing = scope.spawn(move || {
            cache.get_or_make(&key(1), |_| {
                made.send(()).unwrap();
                thread::sleep(Duration::from_millis(100));
                Err(artifact::Error::new(Status::Limit, "no"))
            })
        });
        is_made.recv().unwrap();
        assert_is(cache.get_or_make(&key(1), |builder| fill(builder, 1)), Outcome::Made, 1);
        assert_eq!(failing.join().unwrap().unwrap_err().message(), "no");
    });
}

#[test]
fn a_child_waits_for_its_parent_as_for_any_process() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    thread::scope(|scope| {
        let (made, is_made) = std::sync::mpsc::channel();
        let (go, goes) = std::sync::mpsc::channel::<()>();
        let cache = &cache;
        let making = scope.spawn(move || {
            cache.get_or_make(&key(1), |builder| {
                made.send(()).unwrap();
                goes.recv().unwrap();
                fill(builder, 1)
            })
        });
        is_made.recv().unwrap();
        let child = start(|| assert_is(cache.get_or_make(&key(1), |_| panic!()), Outcome::MadeByOther, 1));
        thread::sleep(Duration::from_millis(50));
        go.send(()).unwrap();
        assert_eq!(wait(child), 0);
        assert_is(making.join().unwrap(), Outcome::Made, 1);
    });
}

#[test]
fn a_child_forked_by_make_does_not_keep_the_turn() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ready, mut is_ready) = pipe();
    // A process forks in its make and dies. Its child lives on, and has made nothing.
    let holder = start(|| {
        let _ = open(folder.path()).get_or_make(&key(1), |_| {
            let child = start(|| thread::sleep(Duration::from_secs(5)));
            is_ready.write_all(&child.to_le_bytes()).unwrap();
            thread::sleep(Duration::from_secs(600));
            Ok(())
        });
    });
    let mut child = [0; 4];
    ready.read_exact(&mut child).unwrap();
    kill(holder);
    let started = Instant::now();
    let cache = open_with(folder.path(), |options| options.wait = Duration::from_secs(3));
    assert_is(cache.get_or_make(&key(1), |builder| fill(builder, 1)), Outcome::Made, 1);
    assert_eq!(cache.stats().count(Outcome::NotLocked), 0);
    assert!(started.elapsed() < Duration::from_secs(2));
    // SAFETY: the process that was just started.
    unsafe { libc::kill(i32::from_le_bytes(child), libc::SIGKILL) };
}
