//! The planner from YAML to configuration, verdicts and events.

mod cases;
mod names;
mod numbered;
mod order;
mod random;
mod replicas;
mod scenario;
mod statuses;
mod time;
mod unsupported;
