//! The fate of each packet of a burst.

pub mod balance;
pub mod flows;
