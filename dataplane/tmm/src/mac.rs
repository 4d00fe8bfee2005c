//! The MAC address of an interface: the same for a replaced pod, another for every other one.
//!
//! Derived from (cluster UID, namespace, number of the interface, replica index), locally
//! administered (operations.md §4.8). Pure.

use tmm_wire::{MacAddr, PortId};

/// The address of `port` at replica `replica`.
#[must_use]
pub fn derive(cluster_uid: &str, namespace: &str, port: PortId, replica: u16) -> MacAddr {
    let mut hash = Fnv::new();
    // Lengths keep ("ab", "c") and ("a", "bc") apart.
    for text in [cluster_uid, namespace] {
        hash.add(&(text.len() as u64).to_be_bytes());
        hash.add(text.as_bytes());
    }
    hash.add(&[port.0]);
    hash.add(&replica.to_be_bytes());
    let [_, _, a, b, c, d, e, f] = hash.mixed().to_be_bytes();
    MacAddr([a & 0xfc | 0x02, b, c, d, e, f])
}

/// FNV-1a of 64 bits, finished by the mixer of SplitMix64 so that every bit counts in the low 48.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    const fn mixed(&self) -> u64 {
        let a = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        b ^ (b >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_local_unicast_stable_and_all_different() {
        let mut seen = std::collections::BTreeSet::new();
        for cluster in ["a", "b"] {
            for namespace in ["spk", "spk2"] {
                for port in 0..8 {
                    for replica in 0..64 {
                        let mac = derive(cluster, namespace, PortId(port), replica);
                        assert_eq!(mac.0[0] & 3, 2, "{mac}");
                        assert_eq!(mac, derive(cluster, namespace, PortId(port), replica));
                        assert!(seen.insert(mac), "{mac}");
                    }
                }
            }
        }
    }
}
