// SPDX-License-Identifier: Apache-2.0
//! What the protocols of the network counted: of the host, and TCP of each network namespace.
//! Source: `/proc/<pid>/net/netstat`, `/proc/<pid>/net/snmp` (net/ipv4/proc.c); for a push of network
//! namespaces an iterator over tasks, where it can be used.
//! Signals: the family `linux.netstat.*`; kind and unit of each word come from
//! `semconv/kernel_fields.yaml`.

mod counters;

use std::collections::HashMap;

use schemars::JsonSchema;
use semconv::{Field, Instrument, family};
use serde::{Deserialize, Serialize};

use self::counters::{Counted, Counters, Word};
use crate::entity::Network;
use crate::hostfs::parse;
use crate::probes::{
    Collect, CollectError, Fields, Filter, Probe, ProbeDef, StartContext, Started,
};
use crate::signal::{EntityRecorder, Recorder, UnixNanos};

/// The probe.
pub static PROBE: ProbeDef =
    ProbeDef { name: "network.netstat", legacy_names: &["netstat"], start, decoder: None };

/// `[MetricCollector.Netstat]`: words of `/proc/net/netstat` and `/proc/net/snmp`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct NetstatConfig {
    /// Words to leave out. A regular expression; empty means none.
    #[schemars(extend("format" = "regex"))]
    pub excluded: String,
    /// Words to collect. A regular expression; empty means all.
    #[schemars(extend("format" = "regex"))]
    pub included: String,
    /// Of these, words that are pushed of pods and containers: each has over 130, which are all on
    /// the legacy page. A regular expression; empty means all.
    #[schemars(extend("format" = "regex"))]
    pub included_in_push_of_containers: String,
}

impl Default for NetstatConfig {
    /// What tells of trouble: losses, retransmissions, queues that were full.
    fn default() -> Self {
        let of_tcp = "^Tcp_(ActiveOpens|PassiveOpens|AttemptFails|EstabResets|CurrEstab|InSegs|\
                      OutSegs|RetransSegs|InErrs|OutRsts)$";
        let more = "^TcpExt_(ListenOverflows|ListenDrops|SyncookiesSent|SyncookiesFailed|\
                    TCPTimeouts|TCPSynRetrans|TCPLostRetransmit|TCPFastRetrans|\
                    TCPSlowStartRetrans|TCPLossProbes|TCPSpuriousRTOs|TCPAbortOn\\w+|\
                    TCPBacklogDrop|TCPRcvQDrop|TCPZeroWindowDrop|TCPToZeroWindowAdv|\
                    TCPWantZeroWindowAdv|TCPTimeWaitOverflow|TCPReqQFullDrop|\
                    TCPReqQFullDoCookies|TCPOFODrop|PruneCalled|RcvPruned|TCPMemoryPressures)$";
        Self {
            excluded: String::new(),
            included: String::new(),
            included_in_push_of_containers: format!("{of_tcp}|{more}"),
        }
    }
}

/// The two files, and where to read them where the first process's may not be.
const FILES: [(&str, [&str; 2]); 2] =
    [("netstat", ["1/net/netstat", "net/netstat"]), ("snmp", ["1/net/snmp", "net/snmp"])];

/// Groups that are collected of network namespaces: what HUATUO has of them.
const OF_NAMESPACES: [&str; 2] = ["Tcp", "TcpExt"];

fn start(cx: &StartContext<'_>) -> Started {
    let config = &cx.config.metric_collector.netstat;
    let mut columns = Columns {
        fields: Fields::new(&family::NETSTAT, Filter::new(&config.included, &config.excluded)),
        pushed: Filter::new(&config.included_in_push_of_containers, ""),
        known: HashMap::new(),
    };
    let words = columns.pushed_words(cx);
    let mut probe = Netstat { columns, counters: None, text: Vec::new() };
    if words.is_empty() {
        return Started::from_files(probe);
    }
    let (hook, programs) = match Counters::load(cx, &words) {
        Ok((counters, hook, programs)) => {
            probe.counters = Some(counters);
            (hook, Some(programs))
        }
        Err(hook) => (hook, None),
    };
    Started { hooks: vec![hook], programs, ..Started::from_files(probe) }
}

struct Netstat {
    columns: Columns,
    /// What is pushed of network namespaces; without it, their files are read.
    counters: Option<Counters>,
    /// Room for the files of network namespaces.
    text: Vec<u8>,
}

/// What each column of each group is, as long as its head stays the same.
struct Columns {
    fields: Fields,
    /// Words of network namespaces that are pushed.
    pushed: Filter,
    known: HashMap<String, (String, Vec<Option<Column>>)>,
}

/// One column of a group.
#[derive(Clone, Copy)]
struct Column {
    field: Field,
    /// Also of network namespaces.
    is_pushed: bool,
}

impl Probe for Netstat {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let networks = cx.networks.list(cx.entities, cx.now);
        let Self { columns, counters, text } = self;
        let (counted, outcome) = match counted(counters.as_mut(), networks, out) {
            Ok(counted) => (counted, Ok(())),
            Err(error) => (Counted::default(), Err(error)),
        };
        for network in networks {
            let mut owner = out.entity(&network.owner);
            match counted.of(network.id) {
                Some(words) => words.for_each(|(field, sum)| {
                    record(field, sum, network.started, &mut owner);
                }),
                None => columns.record_files(network, text, &mut owner),
            }
        }
        let mut host = out.host();
        for (_, paths) in FILES {
            let text = cx.files.first_of(paths)?;
            columns.record(text, true, cx.boot_time, &mut host);
        }
        outcome
    }
}

/// What was counted in namespaces, where words that are pushed are all that is to be recorded, and can
/// be read so.
fn counted<'a>(
    counters: Option<&'a mut Counters>,
    networks: &[Network],
    out: &mut Recorder,
) -> Result<Counted<'a>, CollectError> {
    let (Some(counters), [first, ..]) = (counters, networks) else { return Ok(Counted::default()) };
    if out.entity(&first.owner).admits(true) {
        return Ok(Counted::default());
    }
    Ok(counters.read(networks)?)
}

impl Columns {
    fn record_files(
        &mut self,
        network: &Network,
        buffer: &mut Vec<u8>,
        out: &mut EntityRecorder<'_>,
    ) {
        for (name, _) in FILES {
            // A namespace that goes while we look costs its own points only.
            let Some(text) = network.read(name, buffer) else { continue };
            self.record(text, false, network.started, out);
        }
    }

    /// Words of network namespaces that are pushed, as the host's files have them.
    fn pushed_words(&mut self, cx: &StartContext<'_>) -> Vec<Word> {
        let mut words = Vec::new();
        for (_, paths) in FILES {
            let text = paths.iter().find_map(|path| cx.fs.read_proc(path).ok());
            for group in parse::protocols(text.as_deref().unwrap_or_default()) {
                if !OF_NAMESPACES.contains(&group.name) {
                    continue;
                }
                let names = group.words.split_ascii_whitespace();
                for (column, name) in self.of(group.name, group.words).iter().zip(names) {
                    if let Some(Column { field, is_pushed: true }) = *column {
                        let (group, name) = (group.name.to_owned(), name.to_owned());
                        words.push(Word { group, name, field });
                    }
                }
            }
        }
        words
    }

    fn record(
        &mut self,
        text: &str,
        is_host: bool,
        start: UnixNanos,
        out: &mut EntityRecorder<'_>,
    ) {
        for group in parse::protocols(text) {
            if !is_host && !OF_NAMESPACES.contains(&group.name) {
                continue;
            }
            let columns = self.of(group.name, group.words);
            for (column, value) in columns.iter().zip(group.values.split_ascii_whitespace()) {
                if let Some(column) = column
                    && out.admits(!is_host && !column.is_pushed)
                    && let Some(value) = number(value)
                {
                    record(column.field, value, start, out);
                }
            }
        }
    }

    fn of(&mut self, group: &str, words: &str) -> &[Option<Column>] {
        let is_known = self.known.get(group).is_some_and(|(head, _)| head == words);
        if !is_known {
            let (fields, pushed) = (&mut self.fields, &self.pushed);
            let column = |name: &str| {
                let word = format!("{group}_{name}");
                let is_pushed = pushed.passes(&word);
                fields.get(&word).map(|field| Column { field, is_pushed })
            };
            let columns = words.split_ascii_whitespace().map(column).collect();
            self.known.insert(group.to_owned(), (words.to_owned(), columns));
        }
        self.known.get(group).map_or(&[], |(_, columns)| columns)
    }
}

/// A number of the kernel's files; what is negative as the kernel has it in memory.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().or_else(|| text.parse().ok().map(i64::cast_unsigned))
}

/// Only limits may be negative, which means none.
fn record(field: Field, value: u64, start: UnixNanos, out: &mut EntityRecorder<'_>) {
    if field.metric.instrument == Instrument::Gauge {
        out.gauge(field.metric, Vec::new(), value.cast_signed() as f64);
    } else {
        out.sum(field.metric, Vec::new(), start, value);
    }
}
