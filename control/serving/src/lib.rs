//! The shell of every program: TLS material that reloads itself, logs, probes, metrics.
