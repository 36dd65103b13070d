//! What cannot be linked: one error names all of it, so that it is found at once, not one by one.

use std::collections::HashSet;

use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::limits::MAX_REFUSALS;

#[derive(Default)]
pub(super) struct Refusals {
    /// The first ones.
    errors: Vec<Error>,
    more: usize,
    /// The symbols that refusals are about, by object and index.
    symbols: HashSet<(usize, usize)>,
}

impl Refusals {
    /// Keeps a refusal, and returns any other error: after damage the linker cannot go on.
    pub fn keep(&mut self, result: Result<()>) -> Result<()> {
        match result {
            Err(error) if [Status::Unsupported, Status::InvalidArgument].contains(&error.status()) => {
                if self.errors.len() < MAX_REFUSALS {
                    alloc::push(&mut self.errors, error, "errors")?;
                } else {
                    self.more += 1;
                }
                Ok(())
            }
            other => other,
        }
    }

    /// Like [`Refusals::keep`], but keeps one refusal only about each symbol of an object.
    pub fn keep_one(&mut self, symbol: (usize, usize), result: Result<()>) -> Result<()> {
        if result.as_ref().is_err_and(|error| error.status() == Status::Unsupported) {
            self.symbols.try_reserve(1).map_err(|_| Error::no_memory("errors"))?;
            if !self.symbols.insert(symbol) {
                return Ok(());
            }
        }
        self.keep(result)
    }

    /// Returns an error if there are refusals. Its first line is the first one; what to do, which follows the last semicolon of a
    /// refusal, is said once.
    pub fn finish(self) -> Result<()> {
        let mut errors = self.errors.iter();
        let Some(first) = errors.next() else { return Ok(()) };
        let mut message = first.message().to_owned();
        let mut said: Vec<&str> = first.message().rsplit_once("; ").map(|(_, hint)| hint).into_iter().collect();
        for error in errors {
            let whole = error.message();
            let line = match whole.rsplit_once("; ") {
                Some((what, hint)) if said.contains(&hint) => what,
                Some((_, hint)) => {
                    said.push(hint);
                    whole
                }
                None => whole,
            };
            message.push('\n');
            message.push_str(line);
        }
        if self.more > 0 {
            message.push_str(&format!("\nand {} more", self.more));
        }
        let error = Error::new(first.status(), message);
        Err(match first.offset() {
            Some(offset) => error.at(offset),
            None => error,
        })
    }
}
