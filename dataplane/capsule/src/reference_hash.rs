//! DPDK's own hash table, as the floor that benchmarks print beside ours.
//!
//! Not used by the data plane.

use std::ffi::{CString, c_void};
use std::ptr::NonNull;

use crate::eal::{Eal, errno, error_text};

/// A hash table of DPDK with 16-byte keys and DPDK's default hash function.
#[derive(Debug)]
pub struct ReferenceHash {
    raw: NonNull<dpdk_sys::rte_hash>,
}

// JUSTIFICATION: the table is filled where it is made and measured on a pinned thread.
// SAFETY: the table belongs to no thread; this handle is the only one and is not shared.
unsafe impl Send for ReferenceHash {}

/// The table could not be made or is full.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("rte_hash: {cause}")]
pub struct ReferenceHashError {
    /// DPDK's words.
    pub cause: String,
}

impl ReferenceHashError {
    /// Stable label for metrics and conditions.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "reference_hash"
    }
}

impl ReferenceHash {
    /// Most keys in one lookup (RTE_HASH_LOOKUP_BULK_MAX).
    pub const BULK: usize = 64;

    /// A table for `entries` keys; `name` is unique in the process.
    ///
    /// # Errors
    ///
    /// [`ReferenceHashError`] with DPDK's words, such as no memory.
    pub fn new(_eal: &Eal, name: &str, entries: u32) -> Result<Self, ReferenceHashError> {
        let name = CString::new(name)
            .map_err(|_| ReferenceHashError { cause: "NUL in the name".to_owned() })?;
        let parameters = dpdk_sys::rte_hash_parameters {
            name: name.as_ptr(),
            entries,
            key_len: 16,
            ..Default::default()
        };
        // JUSTIFICATION: the table is C's.
        // SAFETY: the parameters and the name live through the call; a null function is DPDK's own.
        let raw = unsafe { dpdk_sys::rte_hash_create(&raw const parameters) };
        NonNull::new(raw)
            .map(|raw| Self { raw })
            .ok_or_else(|| ReferenceHashError { cause: error_text(errno()) })
    }

    /// Adds `key` with `value`.
    ///
    /// # Errors
    ///
    /// [`ReferenceHashError`] if the table is full.
    pub fn insert(&mut self, key: &[u8; 16], value: usize) -> Result<(), ReferenceHashError> {
        let key = key.as_ptr().cast::<c_void>();
        let value = std::ptr::without_provenance_mut::<c_void>(value);
        // JUSTIFICATION: the table is C's.
        // SAFETY: `key` has the 16 bytes of the table's keys; the value is only a number.
        match unsafe { dpdk_sys::rte_hash_add_key_data(self.raw.as_ptr(), key, value) } {
            0 => Ok(()),
            code => Err(ReferenceHashError { cause: error_text(-code) }),
        }
    }

    /// Looks up to [`Self::BULK`] keys up at once; returns how many were found. `values` keeps each
    /// found key's value at its place.
    pub fn lookup_bulk(&self, keys: &[[u8; 16]], values: &mut [usize; Self::BULK]) -> u32 {
        let count = keys.len().min(Self::BULK);
        let mut pointers = [std::ptr::null::<c_void>(); Self::BULK];
        for (pointer, key) in pointers.iter_mut().zip(keys) {
            *pointer = key.as_ptr().cast();
        }
        let mut hits = 0_u64;
        // JUSTIFICATION: the table is C's.
        // SAFETY: `pointers` holds `count <= BULK` keys of 16 bytes, `values` has room for BULK
        // pointers, which are as large as usize.
        let found = unsafe {
            dpdk_sys::rte_hash_lookup_bulk_data(
                self.raw.as_ptr(),
                pointers.as_mut_ptr(),
                count as u32,
                &raw mut hits,
                values.as_mut_ptr().cast::<*mut c_void>(),
            )
        };
        u32::try_from(found).unwrap_or(0)
    }
}

impl Drop for ReferenceHash {
    fn drop(&mut self) {
        // JUSTIFICATION: the table is C's.
        // SAFETY: it came from rte_hash_create and nobody else has it.
        unsafe { dpdk_sys::rte_hash_free(self.raw.as_ptr()) };
    }
}
