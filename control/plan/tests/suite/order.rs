//! The outcome depends on the set of inputs, not on their order.

use spk_plan::{Inputs, plan};

use crate::scenario::{inputs, read, samples, view};

/// A seeded generator: xorshift64*, enough to shuffle.
pub struct Shuffler(u64);

impl Shuffler {
    /// A generator of its own for each seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let random = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(random).expect("31 bits fit") % bound
    }

    /// Puts `items` into another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

fn shuffled(inputs: &Inputs, seed: u64) -> Inputs {
    let mut shuffler = Shuffler::new(seed);
    let mut inputs = inputs.clone();
    shuffler.shuffle(&mut inputs.objects);
    shuffler.shuffle(&mut inputs.services);
    shuffler.shuffle(&mut inputs.slices);
    shuffler.shuffle(&mut inputs.pods);
    shuffler.shuffle(&mut inputs.replicas);
    for slice in &mut inputs.slices {
        shuffler.shuffle(&mut slice.endpoints);
    }
    // Seen twice, as a watch may deliver it: no difference either.
    let again = inputs.objects[0].clone();
    inputs.objects.push(again);
    inputs
}

#[test]
fn shuffled_and_repeated_inputs_give_the_same_bytes() {
    let texts = ["vlans", "static-routes", "egress", "listeners", "vlan-sets", "members"]
        .map(|name| read(&format!("tests/cases/{name}.yaml")));
    for text in texts.iter().chain([&samples()]) {
        let inputs = inputs(text);
        let straight = plan(&inputs);
        for seed in 1..=20 {
            let other = plan(&shuffled(&inputs, seed));
            assert_eq!(other.spec_for(0).encode(), straight.spec_for(0).encode(), "seed {seed}");
            assert_eq!(view(&other), view(&straight), "seed {seed}");
            assert_eq!(other.memory, straight.memory, "seed {seed}");
        }
    }
}

#[test]
fn objects_without_a_time_are_ordered_by_name() {
    let object = |name: &str| {
        format!(
            "apiVersion: ingressudp.k8s.f5net.com/v1\nkind: F5SPKIngressUDP\n\
             metadata: {{name: {name}, namespace: demo}}\nservice: {{name: x, port: 1}}\n\
             spec: {{destinationAddress: 192.0.2.1, destinationPort: 1}}\n"
        )
    };
    let plan = plan(&inputs(&[object("b"), object("a")].join("---\n")));
    let accepted: Vec<_> =
        plan.objects.iter().map(|(id, o)| (id.name.as_str(), o.accepted.status)).collect();
    assert_eq!(accepted, [("a", true), ("b", false)]);
}
