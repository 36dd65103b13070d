//! An allocator that counts, and that can fail. The test that has this module uses it for everything.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::null_mut;

/// An allocator that tracks the number of bytes that each thread has allocated, and its peak.
struct Counting;

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    /// The large allocation of this thread that fails: 1 is the next one, 0 none.
    pub static FAILS: Cell<usize> = const { Cell::new(0) };
}

/// Allocations that depend on a file.
const LARGE: usize = 32 << 10;

/// Whether an allocation is the one that fails.
fn fails(size: usize) -> bool {
    let left = if size >= LARGE { FAILS.get() } else { 0 };
    FAILS.set(FAILS.get() - usize::from(left > 0));
    left == 1
}

fn grown(size: usize) {
    let current = CURRENT.get().wrapping_add(size);
    CURRENT.set(current);
    // Memory that another thread allocated may be freed here: then the difference to an earlier count is negative.
    PEAK.set(if current.wrapping_sub(PEAK.get()).cast_signed() > 0 { current } else { PEAK.get() });
}

fn shrunk(size: usize) {
    CURRENT.set(CURRENT.get().wrapping_sub(size));
}

/// Returns by how much `work` exceeds the memory that is allocated before it.
pub fn peak<T>(work: impl FnOnce() -> T) -> usize {
    let before = CURRENT.get();
    PEAK.set(before);
    drop(work());
    PEAK.get().wrapping_sub(before)
}

// SAFETY: every call fails as `GlobalAlloc` allows, or is forwarded unchanged to `System`, which upholds its contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails(layout.size()) {
            return null_mut();
        }
        grown(layout.size());
        // SAFETY: the caller upholds the contract of `alloc`, which is the same as that of `System.alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrunk(layout.size());
        // SAFETY: `pointer` comes from `System` by way of this allocator, with the same layout.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size > layout.size() && fails(size) {
            return null_mut();
        }
        // The kernel moves large blocks by remapping their pages, so old and new block never take memory at the same time.
        shrunk(layout.size());
        grown(size);
        // SAFETY: `pointer` comes from `System` by way of this allocator, with the same layout, and the caller checks `size`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
