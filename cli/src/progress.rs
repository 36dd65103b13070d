//! Progress of long operations: a line on a terminal's stderr that appears after a second and is erased in the end.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use artifact::error::quote;

const INTERVAL: Duration = Duration::from_secs(1);

/// An operation in progress. Dropping it erases the line.
pub struct Progress(Option<(Sender<()>, JoinHandle<()>)>);

impl Progress {
    /// Starts to show `what`, such as "verifying a.cwasm", and the seconds since then. Shows nothing if stderr is not a
    /// terminal, or one that cannot erase a line.
    pub fn new(what: &str) -> Progress {
        if !io::stderr().is_terminal() || std::env::var_os("TERM").is_some_and(|name| name == "dumb") {
            return Progress(None);
        }
        let (sender, receiver) = mpsc::channel();
        let what = quote(what.as_bytes()).into_owned();
        let start = Instant::now();
        let show = move || {
            let mut shown = false;
            while receiver.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                // Line wrap is off meanwhile, so that there is only one line to erase.
                print(&format!("\r\x1b[?7l{what}, {} s\x1b[K\x1b[?7h", start.elapsed().as_secs()));
                shown = true;
            }
            if shown {
                print("\r\x1b[K");
            }
        };
        // If the thread cannot be started, there is no progress to see; the operation does not need it.
        Progress(thread::Builder::new().spawn(show).ok().map(|thread| (sender, thread)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.0.take() {
            drop(sender);
            // Returns at once: the thread ends when the sender is gone. It does not panic.
            let _ = thread.join();
        }
    }
}

fn print(text: &str) {
    let mut err = io::stderr().lock();
    // A failed write to stderr cannot be reported anywhere.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
