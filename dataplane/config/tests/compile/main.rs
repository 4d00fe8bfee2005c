//! Compiling specs: what is refused, what is found, who is picked, what stays the same.

mod balance;
mod check;
mod encoding;
mod lookup;
mod slots;
mod specimen;
