//! spk-node with the real `tmm` on one machine: files, processes, events.

mod files;
mod rig;
mod supervision;
mod traffic;
