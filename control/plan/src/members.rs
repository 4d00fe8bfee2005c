//! From a Service to the members of a pool (crds.md §5.2).
//!
//! Members are addresses of EndpointSlices, never the ClusterIP. Weights come from the Pod annotation,
//! else from the first matching `memberWeights` entry, else they are 1 (crds.md §3.4.4).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use spk_api::Path;
use spk_api::balancing::MemberWeight;
use spk_api::ingress::ServiceRef;
use tmm_config::spec::MemberSpec;
use tmm_wire::Protocol;

use crate::address;
use crate::inputs::Inputs;
use crate::outcome::{Dangling, DanglingReason};

type Name<'a> = (&'a str, &'a str);

/// Services, slices and pods by what they are looked up by.
#[derive(Debug, Default)]
pub(crate) struct Cluster<'a> {
    services: BTreeMap<Name<'a>, &'a Service>,
    slices: BTreeMap<Name<'a>, Vec<&'a EndpointSlice>>,
    pods: BTreeMap<Name<'a>, &'a Pod>,
    pods_by_address: BTreeMap<(&'a str, IpAddr), &'a Pod>,
}

/// What a pool is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a> {
    pub namespace: &'a str,
    pub service: &'a ServiceRef,
    pub protocol: Protocol,
    /// Virtual port; 0 is all.
    pub port: u16,
    pub weights: &'a [MemberWeight],
}

/// The endpoints of a Service as members, both families.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub members: BTreeMap<(IpAddr, u16), MemberSpec>,
    pub dangling: Option<Dangling>,
    /// Values that were passed over, as texts of ValueIgnored.
    pub ignored: BTreeSet<String>,
}

impl<'a> Cluster<'a> {
    pub fn new(inputs: &'a Inputs) -> Self {
        let mut cluster = Self::default();
        for service in &inputs.services {
            let meta = &service.metadata;
            if let Some(name) = name(meta.namespace.as_ref(), meta.name.as_ref()) {
                cluster.services.insert(name, service);
            }
        }
        for slice in &inputs.slices {
            let labels = slice.metadata.labels.as_ref();
            let service = labels.and_then(|labels| labels.get(SERVICE_LABEL));
            if let Some(name) = name(slice.metadata.namespace.as_ref(), service) {
                cluster.slices.entry(name).or_default().push(slice);
            }
        }
        for pod in &inputs.pods {
            let meta = &pod.metadata;
            let Some(name) = name(meta.namespace.as_ref(), meta.name.as_ref()) else { continue };
            cluster.pods.insert(name, pod);
            let status = pod.status.as_ref();
            let list = status.and_then(|status| status.pod_ips.as_ref()).into_iter().flatten();
            for address in list.filter_map(|ip| ip.ip.parse().ok()) {
                cluster.pods_by_address.insert((name.0, address), pod);
            }
        }
        cluster
    }

    /// The members that `query` asks for.
    pub fn members(&self, query: &Query<'_>) -> Found {
        let mut found = Found::default();
        let key = (query.namespace, query.service.name.as_str());
        let Some(service) = self.services.get(&key) else {
            let reason = DanglingReason::ServiceNotFound;
            let (problem, fix) = ("does not exist", "create the Service or correct the name");
            found.dangling = Some(missing(query, reason, "service.name", problem, fix));
            return found;
        };
        let spec = service.spec.as_ref();
        if spec.and_then(|spec| spec.type_.as_deref()) == Some("ExternalName") {
            let reason = DanglingReason::UnsupportedService;
            let (problem, fix) = ("is of type ExternalName", "name a Service that has endpoints");
            found.dangling = Some(missing(query, reason, "service.name", problem, fix));
            return found;
        }
        let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
        let port = if query.service.port == 0 {
            None
        } else {
            let wanted = |port: &&ServicePort| {
                port.port == i32::from(query.service.port) && speaks(port, query.protocol)
            };
            let Some(port) = ports.iter().find(wanted) else {
                found.dangling = Some(no_port(query, ports));
                return found;
            };
            Some(port)
        };
        for slice in self.slices.get(&key).into_iter().flatten() {
            self.add_slice(slice, port, query, &mut found);
        }
        found
    }

    fn add_slice(
        &self,
        slice: &EndpointSlice,
        port: Option<&ServicePort>,
        query: &Query<'_>,
        found: &mut Found,
    ) {
        for endpoint in &slice.endpoints {
            // Addresses of one endpoint are the same pod; the first stands for it.
            let first = endpoint.addresses.first();
            let Some(address) = first.and_then(|text| text.parse::<IpAddr>().ok()) else {
                continue;
            };
            let conditions = endpoint.conditions.as_ref();
            if conditions.and_then(|c| c.serving) == Some(false) {
                continue;
            }
            if let Some(what) = address::unusable(address) {
                found.ignored.insert(format!("endpoint {address} is {what}"));
                continue;
            }
            let pod = self.pod(query.namespace, endpoint, address);
            let port = match port {
                None => Some(query.port),
                Some(port) => target(slice, port, query.protocol, pod),
            };
            let Some(port) = port else { continue };
            let draining = conditions.and_then(|c| c.terminating) == Some(true);
            let weight = weight(query, address, pod, &mut found.ignored);
            let member = MemberSpec { address, port, weight, draining };
            // An address in two slices drains only if both say so.
            let known = found.members.entry((address, port)).or_insert(member);
            known.draining &= draining;
        }
    }

    fn pod(&self, namespace: &str, endpoint: &Endpoint, address: IpAddr) -> Option<&'a Pod> {
        let reference = endpoint.target_ref.as_ref();
        let named = reference
            .filter(|target| target.kind.as_deref().is_none_or(|kind| kind == "Pod"))
            .and_then(|target| target.name.as_deref());
        let by_name = named.and_then(|name| self.pods.get(&(namespace, name)));
        by_name.or_else(|| self.pods_by_address.get(&(namespace, address))).copied()
    }
}

fn name<'a>(namespace: Option<&'a String>, name: Option<&'a String>) -> Option<Name<'a>> {
    Some((namespace?.as_str(), name?.as_str()))
}

fn speaks(port: &ServicePort, protocol: Protocol) -> bool {
    port.protocol.as_deref().unwrap_or("TCP").eq_ignore_ascii_case(protocol.name())
}

/// The port of an endpoint: what the slice says under the Service port's name, else targetPort.
fn target(
    slice: &EndpointSlice,
    port: &ServicePort,
    protocol: Protocol,
    pod: Option<&Pod>,
) -> Option<u16> {
    let listed = slice.ports.as_deref().unwrap_or_default();
    let same =
        |name: Option<&str>| name.unwrap_or_default() == port.name.as_deref().unwrap_or_default();
    let by_name = listed.iter().find(|listed| {
        let speaks = listed.protocol.as_deref().unwrap_or("TCP");
        same(listed.name.as_deref()) && speaks.eq_ignore_ascii_case(protocol.name())
    });
    let number = match by_name {
        Some(listed) => listed.port,
        // A slice that lists ports means only those.
        None if !listed.is_empty() => None,
        None => match &port.target_port {
            None => Some(port.port),
            Some(IntOrString::Int(number)) => Some(*number),
            Some(IntOrString::String(name)) => pod.and_then(|pod| container_port(pod, name)),
        },
    };
    number.and_then(|number| u16::try_from(number).ok()).filter(|port| *port != 0)
}

fn container_port(pod: &Pod, name: &str) -> Option<i32> {
    let containers = &pod.spec.as_ref()?.containers;
    let mut ports = containers.iter().flat_map(|container| container.ports.iter().flatten());
    ports.find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port)
}

fn weight(
    query: &Query<'_>,
    address: IpAddr,
    pod: Option<&Pod>,
    ignored: &mut BTreeSet<String>,
) -> u8 {
    let annotations = pod.and_then(|pod| pod.metadata.annotations.as_ref());
    if let Some(text) = annotations.and_then(|annotations| annotations.get(WEIGHT_ANNOTATION)) {
        match text.parse::<u8>().ok().filter(|weight| *weight <= MAX_WEIGHT) {
            Some(weight) => return weight,
            None => {
                let pod = pod.and_then(|pod| pod.metadata.name.as_deref()).unwrap_or_default();
                let what = format!("annotation {WEIGHT_ANNOTATION} {text:?} of Pod {pod}");
                ignored.insert(format!("{what} is no weight from 0 to {MAX_WEIGHT}"));
            }
        }
    }
    let labels = pod.and_then(|pod| pod.metadata.labels.as_ref());
    let matches = |entry: &&MemberWeight| match entry.address {
        Some(listed) => listed == address,
        None => pod.is_some_and(|_| {
            let mut wanted = entry.match_labels.iter().flatten();
            wanted.all(|(name, value)| labels.and_then(|labels| labels.get(name)) == Some(value))
        }),
    };
    let listed = query.weights.iter().find(matches);
    listed.map_or(1, |entry| u8::try_from(entry.weight).unwrap_or(MAX_WEIGHT))
}

fn no_port(query: &Query<'_>, ports: &[ServicePort]) -> Dangling {
    let there: Vec<_> = ports
        .iter()
        .map(|p| format!("{}/{}", p.port, p.protocol.as_deref().unwrap_or("TCP")))
        .collect();
    let fix = if there.is_empty() {
        "add the port to the Service".to_owned()
    } else {
        format!("use one of {}", there.join(", "))
    };
    let wanted = format!("{}/{}", query.service.port, query.protocol.name().to_uppercase());
    Dangling {
        reason: DanglingReason::ServicePortNotFound,
        path: Path::of("service.port"),
        name: wanted,
        problem: format!("is no port of Service {}/{}", query.namespace, query.service.name),
        fix,
    }
}

fn missing(
    query: &Query<'_>,
    reason: DanglingReason,
    at: &str,
    problem: &str,
    fix: &str,
) -> Dangling {
    Dangling {
        reason,
        path: Path::of(at),
        name: query.service.name.clone(),
        problem: problem.to_owned(),
        fix: fix.to_owned(),
    }
}

const SERVICE_LABEL: &str = "kubernetes.io/service-name";
const WEIGHT_ANNOTATION: &str = "k8s.f5net.com/member-weight";
const MAX_WEIGHT: u8 = 100;
