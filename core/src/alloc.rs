//! Fallible allocation, for everything whose size depends on a file: running out of memory is an error, not an abort. Sorting is
//! here because it allocates.

use std::borrow::Cow;
use std::cmp::Ordering;

use zerocopy::FromZeros;

use crate::error::{Error, Result, Status};

/// Collects items into a vector. `what` names them in the error if memory runs out, here and in the other functions.
///
/// # Errors
///
/// NO_MEMORY.
pub fn collect<T>(items: impl Iterator<Item = T>, what: &str) -> Result<Vec<T>> {
    let (min, max) = items.size_hint();
    let mut collected = with_capacity(max.unwrap_or(min), what)?;
    for item in items {
        push(&mut collected, item, what)?;
    }
    Ok(collected)
}

/// Collects results into a vector, up to the first error.
///
/// # Errors
///
/// The first error of `items`; NO_MEMORY.
pub fn try_collect<T>(items: impl Iterator<Item = Result<T>>, what: &str) -> Result<Vec<T>> {
    let mut collected = with_capacity(items.size_hint().0, what)?;
    for item in items {
        push(&mut collected, item?, what)?;
    }
    Ok(collected)
}

/// Appends an item to a vector.
///
/// # Errors
///
/// NO_MEMORY.
pub fn push<T>(items: &mut Vec<T>, item: T, what: &str) -> Result<()> {
    items.try_reserve(1).map_err(|_| Error::no_memory(what))?;
    items.push(item);
    Ok(())
}

/// Copies a slice into a new vector.
///
/// # Errors
///
/// NO_MEMORY.
pub fn copy<T: Copy>(items: &[T], what: &str) -> Result<Vec<T>> {
    let mut copied = with_capacity(items.len(), what)?;
    copied.extend_from_slice(items);
    Ok(copied)
}

/// Returns bytes as a vector, copied if they are borrowed.
///
/// # Errors
///
/// NO_MEMORY.
pub fn into_owned(bytes: Cow<'_, [u8]>, what: &str) -> Result<Vec<u8>> {
    match bytes {
        Cow::Borrowed(bytes) => copy(bytes, what),
        Cow::Owned(bytes) => Ok(bytes),
    }
}

/// Returns a vector of `count` zeros. The allocator zeroes them, which is faster than a loop that fills the vector.
///
/// # Errors
///
/// NO_MEMORY.
pub fn zeroed<T: FromZeros>(count: usize, what: &str) -> Result<Vec<T>> {
    T::new_vec_zeroed(count).map_err(|_| Error::no_memory(what))
}

/// Appends bytes to a vector.
///
/// # Errors
///
/// NO_MEMORY.
pub fn extend(bytes: &mut Vec<u8>, more: &[u8], what: &str) -> Result<()> {
    bytes.try_reserve(more.len()).map_err(|_| Error::no_memory(what))?;
    bytes.extend_from_slice(more);
    Ok(())
}

/// Returns an empty vector with room for `count` items.
///
/// # Errors
///
/// NO_MEMORY.
pub fn with_capacity<T>(count: usize, what: &str) -> Result<Vec<T>> {
    let mut items = Vec::new();
    items.try_reserve_exact(count).map_err(|_| Error::no_memory(what))?;
    Ok(items)
}

/// Returns the indexes of `count` items in sorted order. `compare` compares the items at two indexes; equal items keep their
/// order.
///
/// All sorting goes through this function: each instance of the standard library's sorts takes several kilobytes of code.
///
/// # Errors
///
/// NO_MEMORY; LIMIT for 2^32 items or more.
pub fn sorted_indexes(count: usize, what: &str, compare: &dyn Fn(usize, usize) -> Ordering) -> Result<Vec<u32>> {
    let last = u32::try_from(count)
        .map_err(|_| Error::new(Status::Limit, format!("{what}: expected fewer than 2^32 items, found {count}")))?;
    let mut indexes = collect(0..last, what)?;
    indexes.sort_unstable_by(|a, b| compare(*a as usize, *b as usize).then(a.cmp(b)));
    Ok(indexes)
}

/// Sorts items by a key. Items with equal keys keep their order.
///
/// # Errors
///
/// As [`sorted_indexes`].
pub fn sort<T, K: Ord>(items: &mut [T], what: &str, key: impl Fn(&T) -> K) -> Result<()> {
    // Most lists that come from compilers are sorted already.
    if items.is_sorted_by(|one, next| key(one) <= key(next)) {
        return Ok(());
    }
    let key_of = |at: usize| items.get(at).map(&key);
    let mut indexes = sorted_indexes(items.len(), what, &|a, b| key_of(a).cmp(&key_of(b)))?;
    // Apply the permutation in place, one cycle at a time.
    for start in 0..items.len() {
        let mut at = start;
        while let Some(index) = indexes.get_mut(at) {
            let from = std::mem::replace(index, at as u32) as usize;
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
