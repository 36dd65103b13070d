//! What people see on a terminal while something takes long: a line on stderr that comes after a second and goes with the work.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use artifact::error::quote;

const STEP: Duration = Duration::from_secs(1);

/// Work under way. Dropped, it takes its line away.
pub struct Progress(Option<(Sender<()>, JoinHandle<()>)>);

impl Progress {
    /// `what` is done, such as "verifying a.cwasm". Nothing happens where stderr is no terminal, or one that can't take a line
    /// away.
    pub fn new(what: &str) -> Progress {
        if !io::stderr().is_terminal() || std::env::var_os("TERM").is_some_and(|name| name == "dumb") {
            return Progress(None);
        }
        let (sender, receiver) = mpsc::channel();
        let what = quote(what.as_bytes()).into_owned();
        let start = Instant::now();
        let tell = move || {
            let mut told = false;
            while receiver.recv_timeout(STEP) == Err(RecvTimeoutError::Timeout) {
                // Without line wrap, so that one line is all there is to take away.
                print(&format!("\r\x1b[?7l{what}, {} s\x1b[K\x1b[?7h", start.elapsed().as_secs()));
                told = true;
            }
            if told {
                print("\r\x1b[K");
            }
        };
        // Without a thread for it there is no progress, and nothing else amiss.
        Progress(thread::Builder::new().spawn(tell).ok().map(|teller| (sender, teller)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((sender, teller)) = self.0.take() {
            drop(sender);
            // It ends at once, and can't panic.
            let _ = teller.join();
        }
    }
}

fn print(text: &str) {
    let mut err = io::stderr().lock();
    // Where stderr can't be written to, nobody waits for this.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
