// SPDX-License-Identifier: Apache-2.0
//! What the protocols of the network counted: of the host, and TCP of each network namespace.
//! Source: `/proc/<pid>/net/netstat`, `/proc/<pid>/net/snmp` (net/ipv4/proc.c).
//! Signals: the family `linux.netstat.*`; kind and unit of each word come from
//! `semconv/kernel_fields.yaml`.

use std::collections::HashMap;

use schemars::JsonSchema;
use semconv::{Field, Instrument, family};
use serde::{Deserialize, Serialize};

use crate::hostfs::parse;
use crate::probes::{Collect, CollectError, Fields, Filter, Probe, ProbeDef, Started};
use crate::signal::{EntityRecorder, Recorder, UnixNanos};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "network.netstat",
    legacy_names: &["netstat"],
    start: |cx| {
        let config = &cx.config.metric_collector.netstat;
        let filter = Filter::new(&config.included, &config.excluded);
        let pushed = Filter::new(&config.included_in_push_of_containers, "");
        Started::from_files(Netstat {
            columns: Columns {
                fields: Fields::new(&family::NETSTAT, filter),
                pushed,
                known: HashMap::new(),
            },
            text: Vec::new(),
        })
    },
    decoder: None,
};

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

struct Netstat {
    columns: Columns,
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
        for network in cx.networks.list(cx.entities, cx.now) {
            let mut owner = out.entity(&network.owner);
            for (name, _) in FILES {
                // A namespace that goes while we look costs its own points only.
                let Some(text) = network.read(name, &mut self.text) else { continue };
                self.columns.record(text, false, network.started, &mut owner);
            }
        }
        let mut host = out.host();
        for (_, paths) in FILES {
            let text = cx.files.first_of(paths)?;
            self.columns.record(text, true, cx.boot_time, &mut host);
        }
        Ok(())
    }
}

impl Columns {
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

/// Only limits may be negative, which means none.
fn record(field: Field, value: &str, start: UnixNanos, out: &mut EntityRecorder<'_>) {
    if field.metric.instrument == Instrument::Gauge {
        if let Ok(value) = value.parse::<i64>() {
            out.gauge(field.metric, Vec::new(), value as f64);
        }
    } else if let Ok(value) = value.parse() {
        out.sum(field.metric, Vec::new(), start, value);
    }
}
