//! Memory that grows with a file is asked for, not taken: a process that can't have it gets an error, not an abort.

use crate::error::{Error, Result};

/// Collects items into a vector that is reserved beforehand; `what` names them in the error.
///
/// # Errors
///
/// NO_MEMORY.
pub fn collect<T>(items: impl Iterator<Item = T>, what: &str) -> Result<Vec<T>> {
    let mut collected = Vec::new();
    let (least, most) = items.size_hint();
    collected.try_reserve_exact(most.unwrap_or(least)).map_err(|_| Error::no_memory(what))?;
    for item in items {
        push(&mut collected, item, what)?;
    }
    Ok(collected)
}

/// Appends an item.
///
/// # Errors
///
/// NO_MEMORY.
pub fn push<T>(items: &mut Vec<T>, item: T, what: &str) -> Result<()> {
    items.try_reserve(1).map_err(|_| Error::no_memory(what))?;
    items.push(item);
    Ok(())
}

/// A vector with room for `count` items.
///
/// # Errors
///
/// NO_MEMORY.
pub fn with_room<T>(count: usize, what: &str) -> Result<Vec<T>> {
    let mut items = Vec::new();
    items.try_reserve_exact(count).map_err(|_| Error::no_memory(what))?;
    Ok(items)
}
