//! spk-node with the real `tmm` and the real `spk-cwc` on one machine: files, processes, events,
//! licence.

mod files;
mod licence;
mod rig;
mod supervision;
mod traffic;
