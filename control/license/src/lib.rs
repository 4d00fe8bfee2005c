//! The CWC's machine: states, tokens, reports, receipts, telemetry.
