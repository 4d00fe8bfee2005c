//! Messages, client and server generated from `proto/tmm.proto`.

#![expect(clippy::all, reason = "generated code")]

tonic::include_proto!("spk.tmm.v1");
