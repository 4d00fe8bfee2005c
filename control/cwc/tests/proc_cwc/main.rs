//! Process tests of `spk-cwc`: the real program over files, mutual TLS and the local bus.
//!
//! Each test has a folder, an address of loopback and processes of its own.

mod authority;
mod boot;
mod bus;
mod client;
mod codes;
mod controller;
mod flow;
mod page;
mod receipts;
mod rig;
mod rotation;
mod schema;
mod service;
mod stages;
mod store;
mod switching;
mod transport;
mod unstored;
mod upstream;
