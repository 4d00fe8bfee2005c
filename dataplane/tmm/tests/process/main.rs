//! The real process, driven as a controller drives it: by its files and over gRPC.
//!
//! Needs root for namespaces; uses ordinary pages and addresses of its own.

mod certificates;
mod followers;
mod gate;
mod grammar;
mod pages;
mod rig;
mod start;
mod stopped;
mod threads;
mod traffic;
