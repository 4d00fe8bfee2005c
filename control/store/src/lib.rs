//! Named records with compare-and-swap.
