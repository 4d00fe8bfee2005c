//! The fate of each packet of a burst.
