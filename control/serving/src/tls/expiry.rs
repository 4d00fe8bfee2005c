//! When certificates end, as a metric.
//!
//! Source: operations.md §3.4 (OPS-323: `spk_certificate_expiry`, seconds, per file), §7.2 (the
//! registry adds the unit).

use std::fmt::Error;

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
        encode(encoder, &facts, |facts| facts.not_after.duration_since(now).as_secs())
    }
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
