//! Headers and builders against an independent parser, and checksums against their definition.

mod build;
mod checksum;
mod etherparse_reads;
mod link;
mod sctp;
