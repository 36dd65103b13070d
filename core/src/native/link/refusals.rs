//! What cannot be linked: one error names all of it, so that it is found at once, not one by one.

use std::collections::HashSet;

use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::limits::MAX_REFUSALS;

/// Messages are one line.
const SEPARATOR: &str = " | ";

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

    /// Returns the refusal if there is one. If there are several, they are the parts of one error; what to do, which follows the last
    /// semicolon of a refusal, is said once.
    pub fn finish(mut self) -> Result<()> {
        let status = match self.errors.as_slice() {
            [] => return Ok(()),
            [first, _, ..] => first.status(),
            [_] => return self.errors.pop().map_or(Ok(()), Err),
        };
        let (mut parts, mut said) = (Vec::new(), Vec::new());
        for message in self.errors.iter().map(Error::message) {
            match message.rsplit_once("; ") {
                Some((what, hint)) if said.contains(&hint) => parts.push(what),
                Some((_, hint)) => {
                    said.push(hint);
                    parts.push(message);
                }
                None => parts.push(message),
            }
        }
        let more = format!("and {} more", self.more);
        if self.more > 0 {
            parts.push(&more);
        }
        Err(Error::new(status, parts.join(SEPARATOR)))
    }
}
