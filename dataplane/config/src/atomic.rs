//! The atomics of the gate, apart so that a test can put a model checker's in their place.

pub(crate) use core::sync::atomic::{AtomicU64, Ordering};
