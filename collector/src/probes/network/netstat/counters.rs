// SPDX-License-Identifier: Apache-2.0
//! What TCP counted in network namespaces, read from the counters themselves. The kernel's files have
//! ten times as many words as are pushed, and each is added up and printed.

use std::collections::HashMap;
use std::fs;

use ebpf::network_netstat::records::{NETSTAT_EXT, NETSTAT_NUMBERS, NETSTAT_WORDS, network_counts};
use ebpf::network_netstat::{OBJECT, global, map, program};
use semconv::Field;
use zerocopy::FromBytes;

use crate::bpf::{
    Enumeration, Global, Hook, HookState, HookVerdict, Keys, LoadError, Members, Object, Plan,
    ProgramStats, Twin, WalkError, Way,
};
use crate::entity::Network;
use crate::probes::StartContext;

const HOOKS: &[Hook] = &[Hook {
    target: "task",
    required: false,
    purpose: "reads what is pushed of network namespaces",
    twins: &[Twin::new(Way::Iter, program::NETSTAT_ITER)],
}];

/// Groups of words with the start of their names in the kernel (include/uapi/linux/snmp.h), where
/// their numbers are, and how many there is room for.
const GROUPS: [(&str, &str, u32, u32); 2] = [
    ("Tcp", "TCP_MIB_", 0, NETSTAT_EXT),
    ("TcpExt", "LINUX_MIB_", NETSTAT_EXT, NETSTAT_NUMBERS - NETSTAT_EXT),
];
/// A member of the enumeration of each group.
const KNOWN_BY: [&str; 2] = ["TCP_MIB_ACTIVEOPENS", "LINUX_MIB_LISTENOVERFLOWS"];

/// A word of a network namespace.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub group: String,
    pub name: String,
    pub field: Field,
}

/// What is counted in network namespaces.
pub(super) struct Counters {
    object: Object,
    processes: Keys<u32>,
    /// What the sums are, in their order.
    fields: Vec<Field>,
    /// What the last walk wrote, kept for its room.
    written: Vec<u8>,
}

/// What one walk found.
#[derive(Default)]
pub(super) struct Counted<'a> {
    fields: &'a [Field],
    /// The record of each namespace, by its inode.
    records: HashMap<u64, &'a [u8]>,
}

impl Counted<'_> {
    /// Each word of a namespace with its sum. One that has just lost its process has none, and nor
    /// have those that are beyond the bound of their number.
    pub(super) fn of(&self, network: u64) -> Option<impl Iterator<Item = (Field, u64)>> {
        let counts = network_counts::read_from_bytes(self.records.get(&network)?).ok()?;
        Some(self.fields.iter().copied().zip(counts.sums))
    }
}

impl Counters {
    /// Loads what reads these words of all namespaces; the verdict says why it cannot be used.
    pub(super) fn load(
        cx: &StartContext<'_>,
        words: &[Word],
    ) -> Result<(Self, HookVerdict, ProgramStats), HookVerdict> {
        let missing = |state, reason| HookVerdict::missing(&HOOKS[0], state, reason);
        let refused = |error: LoadError| missing(error.state(), error.to_string());
        let types = cx.types.ok_or_else(|| refused(LoadError::NoBtf))?;
        let groups = types.enumerations(KNOWN_BY.map(Enumeration::With));
        let places = places(words, &groups)
            .and_then(|places| cpus_are_numbered_without_gaps(cx).map(|()| places))
            .map_err(|reason| missing(HookState::Unsupported, reason))?;
        let plan = plan(&places, cx.support.possible_cpus);
        let mut object = Object::load(&plan, cx.support, cx.types).map_err(refused)?;
        let verdict = object.hooks[0].clone();
        if verdict.state != HookState::Attached {
            return Err(verdict);
        }
        let programs = object.stats();
        let processes = object.keys(map::PROCESSES).map_err(refused)?;
        let fields = words.iter().map(|word| word.field).collect();
        let counters = Self { object, processes, fields, written: Vec::new() };
        Ok((counters, verdict, programs))
    }

    /// What was counted in these namespaces.
    pub(super) fn read(&mut self, networks: &[Network]) -> Result<Counted<'_>, WalkError> {
        self.processes.set(networks.iter().map(|network| network.process));
        self.object.walk(program::NETSTAT_ITER, &mut self.written)?;
        let records = self.written.chunks_exact(size_of::<network_counts>());
        let by_network = |record| u64::read_from_prefix(record).ok().map(|(id, _)| (id, record));
        let records = records.filter_map(by_network).collect();
        Ok(Counted { fields: &self.fields, records })
    }
}

/// Where the number of each word is; or why they cannot all be read: no value is better than that
/// of another word.
fn places(words: &[Word], groups: &[Members; 2]) -> Result<Vec<u64>, String> {
    if words.len() > NETSTAT_WORDS as usize {
        return Err(format!("over {NETSTAT_WORDS} words are pushed"));
    }
    let place = |word: &Word| {
        let index = GROUPS.iter().position(|(group, ..)| *group == word.group)?;
        let (_, prefix, first, room) = GROUPS[index];
        let member = format!("{prefix}{}", word.name.to_uppercase());
        let (_, number) = groups[index].iter().find(|(name, _)| *name == member)?;
        (*number < room).then(|| u64::from(first + number))
    };
    let place = |word: &Word| {
        place(word).ok_or_else(|| {
            let Word { group, name, .. } = word;
            format!("this kernel's types do not tell where {group}_{name} is")
        })
    };
    words.iter().map(place).collect()
}

/// The program adds up CPUs by their numbers.
fn cpus_are_numbered_without_gaps(cx: &StartContext<'_>) -> Result<(), String> {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = text.trim().rsplit(['-', ',']).next().and_then(|last| last.parse::<usize>().ok());
    let is_so = last.is_some_and(|last| last + 1 == cx.support.possible_cpus);
    is_so.then_some(()).ok_or_else(|| "the numbers of its CPUs have gaps".to_owned())
}

fn plan(places: &[u64], cpus: usize) -> Plan {
    let bytes = |first: u64, room: u32| {
        let of_group = places.iter().filter_map(|place| place.checked_sub(first));
        of_group.filter(|place| *place < room.into()).max().map_or(0, |last| (last + 1) * 8)
    };
    let [tcp, ext] = GROUPS.map(|(_, _, first, room)| bytes(first.into(), room));
    let mut wanted = places.to_vec();
    wanted.resize(NETSTAT_WORDS as usize, 0);
    let one = |name, word| Global::Words(name, vec![word]);
    let globals = vec![
        Global::Words(global::WANTED, wanted),
        one(global::WANTED_COUNT, places.len() as u64),
        one(global::TCP_SIZE, tcp),
        one(global::EXT_SIZE, ext),
        one(global::CPUS, cpus as u64),
    ];
    Plan { object: OBJECT, hooks: HOOKS, globals, ..Plan::default() }
}

#[cfg(test)]
mod tests {
    use semconv::family;

    use super::*;

    fn word(group: &str, name: &str) -> Word {
        let field = family::NETSTAT.field(&format!("{group}_{name}")).unwrap();
        Word { group: group.to_owned(), name: name.to_owned(), field }
    }

    fn groups() -> [Members; 2] {
        let member = |(name, number): (&str, u32)| (name.to_owned(), number);
        let tcp = [("TCP_MIB_INSEGS", 10), ("TCP_MIB_CSUMERRORS", 15), ("TCP_MIB_FAR", 32)];
        let ext = [("LINUX_MIB_INSEGS", 3), ("LINUX_MIB_LISTENDROPS", 21)];
        [tcp.map(member).to_vec(), ext.map(member).to_vec()]
    }

    #[test]
    fn a_word_is_where_the_member_of_its_own_group_says() {
        let words = [word("TcpExt", "ListenDrops"), word("Tcp", "InSegs")];
        let found = places(&words, &groups()).unwrap();
        let ext = u64::from(NETSTAT_EXT);
        assert_eq!(found, [ext + 21, 10]);
        let sizes: Vec<u64> = plan(&found, 2).globals[2..4].iter().map(number).collect();
        assert_eq!(sizes, [11 * 8, 22 * 8]);
        let sizes: Vec<u64> = plan(&found[..1], 2).globals[2..4].iter().map(number).collect();
        assert_eq!(sizes, [0, 22 * 8]);
    }

    fn number(global: &Global) -> u64 {
        match global {
            Global::Words(_, words) => words[0],
            Global::Bool(..) => panic!("{global:?}"),
        }
    }

    #[test]
    fn where_one_word_is_not_found_none_is_read() {
        for (group, name) in [("Tcp", "InCsumErrors"), ("Tcp", "Far"), ("Udp", "InSegs")] {
            let words = [word("Tcp", "InSegs"), word(group, name)];
            let reason = places(&words, &groups()).unwrap_err();
            assert!(reason.ends_with(&format!("where {group}_{name} is")), "{reason}");
        }
        assert!(places(&[word("Tcp", "InSegs")], &Default::default()).is_err());
        let many = vec![word("Tcp", "InSegs"); NETSTAT_WORDS as usize + 1];
        assert!(places(&many, &groups()).unwrap_err().contains("over 64"));
    }
}
