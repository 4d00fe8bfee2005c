//! The system's allocator with a counter of its calls.
//!
//! For benchmarks that prove that a packet path allocates nothing; not for shipped programs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts every allocation of the process. To be named in a `#[global_allocator]` static.
#[derive(Debug, Default)]
pub struct CountingAllocator;

/// Calls so far; relaxed, as it orders nothing.
static CALLS: AtomicU64 = AtomicU64::new(0);

impl CountingAllocator {
    /// Allocations and growths of all threads since the process began.
    #[must_use]
    pub fn calls() -> u64 {
        CALLS.load(Ordering::Relaxed)
    }
}

// JUSTIFICATION: the counter must see every allocation, which only a global allocator does.
// SAFETY: every call is the system allocator's with the same arguments.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // JUSTIFICATION: passed on.
        // SAFETY: the caller's promise about `layout` is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // JUSTIFICATION: passed on.
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // JUSTIFICATION: passed on.
        // SAFETY: `pointer` came from the system allocator through this one, with `layout`.
        unsafe { System.realloc(pointer, layout, bytes) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // JUSTIFICATION: passed on.
        // SAFETY: as in `realloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
