//! When certificates end, as a metric.
//!
//! Source: operations.md §3.4 (OPS-323: `spk_certificate_expiry`, seconds, per file), §7.2 (the
//! registry adds the unit).

use std::fmt::Error;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::follow::Tls;
use super::material::CertificateFacts;
use crate::clock;

/// The metric `certificate_expiry` of some identities: seconds until the end, below 0 after it.
#[derive(Debug)]
pub struct CertificateMetrics {
    identities: Vec<Tls>,
}

impl CertificateMetrics {
    /// Adds the metric about `identities` to `registry`, whose prefix should be `spk`.
    pub fn register(registry: &mut Registry, identities: Vec<Tls>) {
        registry.register_collector(Box::new(Self { identities }));
    }
}

impl Collector for CertificateMetrics {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let now = clock::wall();
        let facts: Vec<_> = self.identities.iter().flat_map(Tls::certificates).collect();
        encode(encoder, &facts, |facts| seconds_left(facts, now))
    }
}

fn seconds_left(facts: &CertificateFacts, now: Timestamp) -> i64 {
    facts.not_after.duration_since(now).as_secs()
}

fn encode(
    mut encoder: DescriptorEncoder,
    certificates: &[CertificateFacts],
    left: impl Fn(&CertificateFacts) -> i64,
) -> Result<(), Error> {
    let help = "Seconds until a certificate in use ends";
    let mut metric = encoder.encode_descriptor(
        "certificate_expiry",
        help,
        Some(&Unit::Seconds),
        MetricType::Gauge,
    )?;
    for facts in certificates {
        let labels = [("object", facts.object.as_str()), ("file", facts.file.as_str())];
        ConstGauge::new(left(facts)).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct At(Timestamp);

    impl Collector for At {
        fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
            let facts = |file: &str, end: &str| CertificateFacts {
                object: String::from("cwc-license-certs"),
                file: file.to_owned(),
                serial: String::new(),
                not_after: end.parse().unwrap(),
            };
            let facts = [
                facts("server.crt", "2026-12-31T00:00:00Z"),
                facts("ca_root.crt", "2026-11-30T23:59:59Z"),
            ];
            encode(encoder, &facts, |facts| seconds_left(facts, self.0))
        }
    }

    /// OPS-323 (the metric): seconds that are left at 30 days before, per file; below 0 after.
    #[test]
    fn metric_counts_the_seconds_that_are_left_per_file() {
        let mut registry = Registry::with_prefix("spk");
        registry.register_collector(Box::new(At("2026-12-01T00:00:00Z".parse().unwrap())));
        let text = crate::probes::metrics_text(&registry);
        let name = "spk_certificate_expiry_seconds";
        let object = r#"object="cwc-license-certs""#;
        for line in [
            format!("{name}{{{object},file=\"server.crt\"}} {}\n", 30 * 86_400),
            format!("{name}{{{object},file=\"ca_root.crt\"}} -1\n"),
        ] {
            assert!(text.contains(&line), "{line} in {text}");
        }
    }
}
