//! The Controller without its world.
