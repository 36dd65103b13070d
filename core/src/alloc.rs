//! Memory that grows with a file is asked for, not taken: a process that can't have it gets an error, not an abort. Sorting,
//! which needs some, is here too.

use std::cmp::Ordering;

use zerocopy::FromZeros;

use crate::error::{Error, Result, Status};

/// Collects items into a vector that is reserved beforehand; `what` names them in the error.
///
/// # Errors
///
/// NO_MEMORY.
pub fn collect<T>(items: impl Iterator<Item = T>, what: &str) -> Result<Vec<T>> {
    let (least, most) = items.size_hint();
    let mut collected = with_capacity(most.unwrap_or(least), what)?;
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

/// A vector of its own for items that can be copied at one stroke.
///
/// # Errors
///
/// NO_MEMORY.
pub fn copy<T: Copy>(items: &[T], what: &str) -> Result<Vec<T>> {
    let mut copied = with_capacity(items.len(), what)?;
    copied.extend_from_slice(items);
    Ok(copied)
}

/// So many zeros, fresh from the allocator: filling by `resize` is a loop where code is made small.
///
/// # Errors
///
/// NO_MEMORY.
pub fn zeroed<T: FromZeros>(count: usize, what: &str) -> Result<Vec<T>> {
    T::new_vec_zeroed(count).map_err(|_| Error::no_memory(what))
}

/// Appends bytes.
///
/// # Errors
///
/// NO_MEMORY.
pub fn extend(bytes: &mut Vec<u8>, more: &[u8], what: &str) -> Result<()> {
    bytes.try_reserve(more.len()).map_err(|_| Error::no_memory(what))?;
    bytes.extend_from_slice(more);
    Ok(())
}

/// A vector with room for `count` items.
///
/// # Errors
///
/// NO_MEMORY.
pub fn with_capacity<T>(count: usize, what: &str) -> Result<Vec<T>> {
    let mut items = Vec::new();
    items.try_reserve_exact(count).map_err(|_| Error::no_memory(what))?;
    Ok(items)
}

/// The places of so many items in the order that `compare` puts them in; those that are equal stay as they are.
///
/// Everything that is sorted goes through here: the standard library's sorts take several kilobytes for each type.
///
/// # Errors
///
/// NO_MEMORY, for `what`; LIMIT for more than 2^32 items.
pub fn order(count: usize, what: &str, compare: &dyn Fn(usize, usize) -> Ordering) -> Result<Vec<u32>> {
    let last = u32::try_from(count)
        .map_err(|_| Error::new(Status::Limit, format!("{what}: expected less than 2^32 items, found {count}")))?;
    let mut places = collect(0..last, what)?;
    places.sort_unstable_by(|a, b| compare(*a as usize, *b as usize).then(a.cmp(b)));
    Ok(places)
}

/// Sorts by a key; items with equal keys stay in their order.
///
/// # Errors
///
/// As [`order`].
pub fn sort<T, K: Ord>(items: &mut [T], what: &str, key: impl Fn(&T) -> K) -> Result<()> {
    let key_of = |at: usize| items.get(at).map(&key);
    let mut places = order(items.len(), what, &|a, b| key_of(a).cmp(&key_of(b)))?;
    // Each item goes where it belongs, along the cycles of the permutation.
    for start in 0..items.len() {
        let mut at = start;
        while let Some(place) = places.get_mut(at) {
            let from = std::mem::replace(place, at as u32) as usize;
            if from == start || from == at {
                break;
            }
            items.swap(at, from);
            at = from;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorting_is_stable_and_complete() {
        let mut state = 1u32;
        for len in 0..200 {
            let mut items: Vec<(u32, usize)> = Vec::new();
            for index in 0..len {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                items.push((state >> 28, index));
            }
            let mut expected = items.clone();
            expected.sort_by_key(|item| item.0);
            sort(&mut items, "numbers", |item| item.0).unwrap();
            assert_eq!(items, expected);
        }
    }
}
