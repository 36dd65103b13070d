//! Decoded Metadata takes at most eight times as much memory as its encoding, whatever its content.
#![allow(missing_docs)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use artifact::format::metadata::Metadata;

/// An allocator that tracks the number of allocated bytes and its peak.
struct Counting;

static CURRENT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grown(size: usize) {
    PEAK.fetch_max(CURRENT.fetch_add(size, Relaxed) + size, Relaxed);
}

// SAFETY: every call is forwarded unchanged to `System`, which upholds the contract of `GlobalAlloc`.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller upholds the contract of `alloc`, which is the same as that of `System.alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CURRENT.fetch_sub(layout.size(), Relaxed);
        // SAFETY: `pointer` comes from `System` by way of this allocator, with the same layout.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The kernel moves large blocks by remapping their pages, so old and new block never take memory at the same time.
        CURRENT.fetch_sub(layout.size(), Relaxed);
        grown(size);
        // SAFETY: `pointer` comes from `System` by way of this allocator, with the same layout, and the caller checks `size`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const COUNT: u64 = 200_000;

/// Encodes Metadata with `COUNT` items in one of its lists: 1 and 2 are the flag maps, 3 upvars, 4 to 6 the type tables.
fn metadata(list: usize, item: impl Fn(u64) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = vec![0; 8]; // target
    for at in 1..=6 {
        if at == 3 {
            bytes.extend([0; 39 + 11]); // tunables and features
        }
        if at == list {
            bytes.extend(COUNT.to_le_bytes());
            (0..COUNT).for_each(|number| bytes.extend(item(number)));
        } else {
            bytes.extend([0; 8]);
        }
    }
    bytes
}

fn flag(name: &[u8]) -> Vec<u8> {
    [&(name.len() as u64).to_le_bytes(), name, &[2, 0, 0, 0, 1]].concat()
}

#[test]
fn decoded_metadata_takes_at_most_eight_times_its_size() {
    let one = 1u64.to_le_bytes();
    let cases: [(&str, Vec<u8>); 9] = [
        ("flags without a name", metadata(1, |_| flag(b""))),
        ("flags in the wrong order", metadata(2, |number| flag(&u32::to_be_bytes(0x7f7f_7f7f & !(number as u32))))),
        ("flags in order", metadata(1, |number| flag(format!("{number:06}").as_bytes()))),
        ("upvars", metadata(3, |_| vec![0; 24])),
        ("upvars that pass on one", metadata(3, |_| [&[0; 8][..], &one, &[0; 16]].concat())),
        ("empty function types", metadata(4, |_| vec![0; 32])),
        ("function types", metadata(4, |_| [&one[..], &[0; 12], &one, &[0; 12]].concat())),
        ("instance types", metadata(6, |_| vec![0; 8])),
        ("imports", {
            let import = [&[0; 8][..], &[5, 0, 0, 0], &[0; 4]].concat();
            let mut bytes = metadata(0, |_| Vec::new());
            // One module type with all the imports, and the instance type that it refers to.
            bytes.truncate(bytes.len() - 16);
            bytes.extend(one);
            bytes.extend(COUNT.to_le_bytes());
            (0..COUNT).for_each(|_| bytes.extend(&import));
            bytes.extend([0; 4]);
            bytes.extend(one);
            bytes.extend([0; 8]);
            bytes
        }),
    ];
    for (name, bytes) in cases {
        let before = CURRENT.load(Relaxed);
        PEAK.store(before, Relaxed);
        let (decoded, len) = Metadata::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(len, bytes.len(), "{name}");
        let times = (PEAK.load(Relaxed) - before) as f64 / bytes.len() as f64;
        assert!(times > 1.0 && times <= 8.0, "{name}: {times:.2} times");
        drop(decoded);
    }
}
