//! Messages, client and server generated from `proto/tmm.proto`.

#![expect(clippy::allow_attributes_without_reason, reason = "generated code")]

tonic::include_proto!("spk.tmm.v1");
