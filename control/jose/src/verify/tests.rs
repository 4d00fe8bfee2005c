use super::*;

mod any_bytes;
mod form;
mod licence;
mod limits;
mod report;
mod statement;
