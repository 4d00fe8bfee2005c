//! The table of `status`, held against snapshots.
