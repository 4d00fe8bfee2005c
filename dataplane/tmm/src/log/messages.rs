//! One function a message: the only way that this process logs.
//!
//! Texts begin as operations.md §7.3 says; what varies is also in pairs of their own.

use std::net::IpAddr;

use super::{
    APPLIED, CERTIFICATE, DRAINING, FAILED, GATE_CLOSED, GATE_OPENED, INTERFACE_DOWN, INTERFACE_UP,
    LEASE_REJECTED, LIBRARY, MEMBER, MessageId, REFUSED, SETTING, STARTED, STOPPED, TRUST_ANCHOR,
};

/// Emits one message; the layer finds severity and rate limit by its id.
macro_rules! emit {
    ($message:expr, $($key:ident = $value:expr,)* $text:literal $(, $argument:expr)* $(,)?) => {{
        let message: MessageId = $message;
        tracing::info!(
            target: super::layer::TARGET,
            id = message.id,
            $($key = %$value,)*
            $text $(, $argument)*
        );
    }};
}

/// A member went up or down.
pub fn member_changed(pool: &str, address: IpAddr, port: u16, up: bool, reason: &str) {
    let state = if up { "up" } else { "down" };
    let endpoint = match address {
        IpAddr::V4(address) => format!("{address}:{port}"),
        IpAddr::V6(address) => format!("[{address}]:{port}"),
    };
    if up {
        emit!(
            MEMBER,
            pool = pool,
            IP = address,
            Port = port,
            state = state,
            reason = reason,
            "Pool Member Status Change: {pool} {endpoint} is up"
        );
    } else {
        emit!(
            MEMBER,
            pool = pool,
            IP = address,
            Port = port,
            state = state,
            reason = reason,
            "Pool Member Status Change: {pool} {endpoint} is down ({reason})"
        );
    }
}

/// New connections are served with the certificate of file `name`.
pub fn certificate_reloaded(name: &str) {
    emit!(CERTIFICATE, file = name, "Certificate {name} reloaded");
}

/// A line of a library, without a row of its own.
pub fn library(source: &str, text: &str) {
    emit!(LIBRARY, source = source, "{}", text);
}

/// The process runs.
pub fn started(text: &str) {
    emit!(STARTED, "Started: {text}");
}

/// The process ends well.
pub fn stopped(text: &str) {
    emit!(STOPPED, "Stopped: {text}");
}

/// The process or a part of it cannot go on.
pub fn failed(code: &str, text: &str) {
    emit!(FAILED, code = code, "Failed: {text}");
}

/// SIGTERM came; old flows are served for `seconds`.
pub fn draining(seconds: u16) {
    emit!(DRAINING, seconds = seconds, "Draining: no new flow, old ones for {seconds} s");
}

/// A setting has no effect, or costs something.
pub fn setting(text: &str) {
    emit!(SETTING, "Setting: {text}");
}

/// The gate closed.
pub fn gate_closed(reason: &str) {
    emit!(GATE_CLOSED, reason = reason, "License gate closed: {reason}");
}

/// The gate opened.
pub fn gate_opened() {
    emit!(GATE_OPENED, "License gate opened");
}

/// A lease was refused.
pub fn lease_rejected(code: &str) {
    emit!(LEASE_REJECTED, code = code, "License lease rejected: {code}");
}

/// The lease keys were read, or cannot be; `text` names `kid`s, never a key.
pub fn trust_anchor(text: &str) {
    emit!(TRUST_ANCHOR, "License trust anchor: {text}");
}

/// A snapshot runs on all workers.
pub fn applied(generation: u64, problems: usize) {
    emit!(
        APPLIED,
        generation = generation,
        problems = problems,
        "Configuration {generation} applied"
    );
}

/// A snapshot was refused whole; `first` is the first of `errors` errors.
pub fn refused(generation: u64, errors: usize, first: &str) {
    emit!(
        REFUSED,
        generation = generation,
        errors = errors,
        first = first,
        "Configuration {generation} refused: {errors} errors"
    );
}

/// An interface's link changed.
pub fn interface(name: &str, up: bool) {
    if up {
        emit!(INTERFACE_UP, interface = name, "Interface {name} up");
    } else {
        emit!(INTERFACE_DOWN, interface = name, "Interface {name} down");
    }
}
