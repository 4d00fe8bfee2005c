//! The program as a process: command line, ledger over restarts, endpoint, licence manager.

mod command_line;
mod endpoint;
mod pinning;
mod protocol;
mod rig;
