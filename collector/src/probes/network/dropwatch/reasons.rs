// SPDX-License-Identifier: Apache-2.0
//! Names of the reasons of drops, from the types of the running kernel.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ebpf::network_dropwatch::records::{DROP_REASONS, DROP_SUBSYSTEMS, drop_counts};

use crate::bpf::{Enumeration, KernelTypes};

/// The only reason of kernels that have none, and the first of those that do.
const NOT_SPECIFIED: &str = "not_specified";
/// Reasons of packets that no neighbour was found for.
const OF_NEIGHBOUR: [&str; 2] = ["neigh_failed", "neigh_queuefull"];

/// Reasons by their number.
pub(super) struct Reasons {
    names: HashMap<u32, Arc<str>>,
    other: Arc<str>,
}

impl Reasons {
    /// Those of the running kernel.
    pub(super) fn of(types: Option<&KernelTypes>) -> Self {
        let names = ["skb_drop_reason", "skb_drop_reason_subsys"].map(Enumeration::Named);
        let [reasons, subsystems] =
            types.map_or_else(Default::default, |types| types.enumerations(names));
        Self::new(&reasons, &subsystems)
    }

    fn new(reasons: &[(String, u32)], subsystems: &[(String, u32)]) -> Self {
        let mut names = HashMap::from([(0, Arc::from(NOT_SPECIFIED))]);
        for (member, number) in reasons.iter().filter(|(_, number)| *number < DROP_REASONS) {
            names.insert(*number, word(member, "SKB_DROP_REASON_").into());
        }
        for (member, number) in subsystems {
            if (1..DROP_SUBSYSTEMS).contains(number) {
                let name = word(member, "SKB_DROP_REASON_SUBSYS_");
                names.insert(number << 16, format!("subsystem.{name}").into());
            }
        }
        Self { names, other: "other".into() }
    }

    /// The name of a reason, of its subsystem, or else `other`.
    pub(super) fn name(&self, reason: u32) -> &Arc<str> {
        let of_subsystem = reason & 0xffff_0000;
        let number = if of_subsystem == 0 { reason } else { of_subsystem };
        self.names.get(&number).unwrap_or(&self.other)
    }

    /// Whether it was that a neighbour did not answer.
    pub(super) fn is_of_neighbour(&self, reason: u32) -> bool {
        OF_NEIGHBOUR.contains(&&**self.name(reason))
    }

    /// Packets by the name of their reason, those that there were.
    pub(super) fn sum(&self, cpus: &[drop_counts]) -> BTreeMap<Arc<str>, u64> {
        let mut sums = BTreeMap::new();
        for (slot, packets) in cpus.iter().flat_map(|cpu| (0..).zip(cpu.packets)) {
            if packets > 0 {
                *sums.entry(Arc::clone(self.name(reason_of(slot)))).or_default() += packets;
            }
        }
        sums
    }
}

/// A reason that the program counts in this slot.
fn reason_of(slot: u32) -> u32 {
    match slot.checked_sub(DROP_REASONS) {
        None => slot,
        Some(beyond) if beyond < DROP_SUBSYSTEMS => beyond << 16,
        Some(_) => u32::MAX,
    }
}

/// `SKB_DROP_REASON_NO_SOCKET` as `no_socket`.
fn word(member: &str, prefix: &str) -> String {
    let word = member.strip_prefix(prefix).or_else(|| member.strip_prefix("SKB_"));
    word.unwrap_or(member).to_lowercase()
}

#[cfg(test)]
pub(super) mod tests {
    use ebpf::network_dropwatch::records::{DROP_OTHER, DROP_SLOTS};

    use super::*;

    pub(in crate::probes::network) fn reasons() -> Reasons {
        let members = |list: &[(&str, u32)]| -> Vec<(String, u32)> {
            list.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
        };
        Reasons::new(
            &members(&[
                ("SKB_NOT_DROPPED_YET", 0),
                ("SKB_DROP_REASON_NO_SOCKET", 3),
                ("SKB_DROP_REASON_NEIGH_FAILED", 58),
                ("SKB_DROP_REASON_SUBSYS_MASK", 0xffff_0000),
            ]),
            &members(&[
                ("SKB_DROP_REASON_SUBSYS_CORE", 0),
                ("SKB_DROP_REASON_SUBSYS_OPENVSWITCH", 2),
            ]),
        )
    }

    #[test]
    fn reasons_have_the_kernels_names_or_that_of_their_subsystem() {
        let reasons = reasons();
        for (reason, name) in [
            (0, "not_dropped_yet"),
            (3, "no_socket"),
            (4, "other"),
            (2 << 16 | 5, "subsystem.openvswitch"),
            (9 << 16, "other"),
            (u32::MAX, "other"),
        ] {
            assert_eq!(&**reasons.name(reason), name, "{reason:#x}");
        }
        assert!(reasons.is_of_neighbour(58) && !reasons.is_of_neighbour(3));
        assert_eq!(&**Reasons::new(&[], &[]).name(0), "not_specified");
    }

    #[test]
    fn packets_of_all_cpus_are_added_up_by_reason() {
        let mut one = drop_counts { packets: [0; DROP_SLOTS as usize] };
        one.packets[3] = 2;
        one.packets[DROP_REASONS as usize + 2] = 5;
        let mut other = one;
        other.packets[200] = 1;
        other.packets[DROP_OTHER as usize] = 1;
        let sums: Vec<(Arc<str>, u64)> = reasons().sum(&[one, other]).into_iter().collect();
        let expected = [("no_socket", 4), ("other", 2), ("subsystem.openvswitch", 10)];
        assert_eq!(sums, expected.map(|(name, packets)| (Arc::from(name), packets)));
    }
}
