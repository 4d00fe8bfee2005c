//! The resource directory: facts from YAML files, statuses beside them.
//!
//! Owns reading, following and the status files. [`catalogue`] decides what a file's text means for
//! what was accepted before; what the objects mean is `spk-plan`'s.
//!
//! A file is read when its name ends in `.yaml`, `.yml` or `.json`, unless it begins with a dot or
//! ends in `.status.yaml`. Objects that name no namespace are in `default`, as with `kubectl`.
//! Sources: operations.md §1.6 (OPS-170).

pub mod catalogue;
pub mod follow;
pub mod status_file;

pub use follow::{FileFacts, FollowError};
pub use status_file::StatusFiles;
