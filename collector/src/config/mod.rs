// SPDX-License-Identifier: Apache-2.0
//! The configuration: the sections of all probes and exporters, gathered under one root.
//!
//! A section is defined beside what it configures. Everything else follows from the schema of
//! these structs: the checks ([`load`]), `huatuo-otel config`, the example file and the reference.

mod document;
mod environment;
mod event_tracing;
mod example;
mod later;
mod load;
mod render;
mod schema;
mod walk;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::entity::ContainerConfig;
use crate::export::localfile::LocalFileConfig;
use crate::export::otlp::OtlpConfig;
use crate::journal::JournalConfig;
use crate::kubelet::PodConfig;
use crate::probes::gpu::metax::MetaxGpuConfig;
use crate::probes::gpu::nvidia::NvidiaGpuConfig;
use crate::probes::memory::events::MemoryEventsConfig;
use crate::probes::memory::vmstat::VmstatConfig;
use crate::probes::network::DeviceListConfig;
use crate::probes::network::netdev::NetdevStatsConfig;
use crate::probes::network::netstat::NetstatConfig;
use crate::probes::network::qdisc::QdiscConfig;
use crate::probes::system::mounts::MountPointConfig;
use crate::server::{EventsWatchConfig, ServerConfig};
use crate::telemetry::LogConfig;

pub use event_tracing::{EventTracingConfig, KnownIssue};
pub use example::{example, reference};
pub use later::{AutoTracingConfig, ElasticsearchConfig, RuntimeCgroupConfig};
pub use load::{ConfigErrors, Layers, Loaded, Overrides, Source, load};

/// The whole configuration. `later` marks sections whose probe or exporter is not in this version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Config {
    /// Probes that are not started, by their name here or in HUATUO, where `cpu_util`, `loadavg` and
    /// `memory_vmstat` are the words for those metrics of containers too, and `cpu_stat` for what held
    /// them back; and events that are not raised although their probe runs, by their name in HUATUO.
    #[schemars(extend("elements" = "probe"))]
    pub black_list: Vec<String>,
    /// Region of the host, e.g. `cn-beijing`. `--region` overrides it.
    pub region: String,
    /// Keep the kernel's BPF statistics on, so that `huatuo.bpf.program.run.*` count. Every BPF
    /// program of the host then takes two clock readings more per run.
    pub bpf_statistics: bool,
    /// `[Log]`: the agent's own log.
    pub log: LogConfig,
    /// `[Otlp]`: push to an OpenTelemetry Collector.
    pub otlp: OtlpConfig,
    /// `[Server]`: the HTTP server of `/metrics`, `/v1/events/watch` and `/status`.
    pub server: ServerConfig,
    /// `[EventsWatch]`: subscribers of `POST /v1/events/watch`.
    pub events_watch: EventsWatchConfig,
    /// `[Journal]`: where events wait for those who follow them.
    pub journal: JournalConfig,
    /// `[Storage]`: where events are kept beside the OTLP push.
    pub storage: StorageConfig,
    /// `[MetricCollector]`: what the metric probes look at.
    pub metric_collector: MetricCollectorConfig,
    /// `[EventTracing]`: thresholds of kernel anomalies.
    pub event_tracing: EventTracingConfig,
    /// `[AutoTracing]`: captures that start when a threshold is crossed.
    #[schemars(extend("later" = true))]
    pub auto_tracing: AutoTracingConfig,
    /// `[Container]`: which containers have metrics, and how long ended ones are remembered.
    pub container: ContainerConfig,
    /// `[Pod]`: where names of pods come from. The kubelet is asked only while there are
    /// containers of pods that it has not told of.
    pub pod: PodConfig,
    /// `[RuntimeCgroup]`: what the agent itself may take.
    #[schemars(extend("later" = true))]
    pub runtime_cgroup: RuntimeCgroupConfig,
}

impl Config {
    /// The word is in `BlackList`.
    pub fn is_listed(&self, word: &str) -> bool {
        self.black_list.iter().any(|listed| listed == word)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            black_list: vec!["netdev_hw".to_owned(), "metax_gpu".to_owned()],
            region: String::new(),
            bpf_statistics: false,
            log: LogConfig::default(),
            otlp: OtlpConfig::default(),
            server: ServerConfig::default(),
            events_watch: EventsWatchConfig::default(),
            journal: JournalConfig::default(),
            storage: StorageConfig::default(),
            metric_collector: MetricCollectorConfig::default(),
            event_tracing: EventTracingConfig::default(),
            auto_tracing: AutoTracingConfig::default(),
            container: ContainerConfig::default(),
            pod: PodConfig::default(),
            runtime_cgroup: RuntimeCgroupConfig::default(),
        }
    }
}

/// `[Storage]`: where events are kept beside the OTLP push.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct StorageConfig {
    /// `[Storage.LocalFile]`: one file of events per tracer on this host.
    pub local_file: LocalFileConfig,
    /// `[Storage.ES]`: events into Elasticsearch or OpenSearch.
    #[serde(rename = "ES")]
    #[schemars(extend("later" = true))]
    pub elasticsearch: ElasticsearchConfig,
}

/// `[MetricCollector]`: what the metric probes look at.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct MetricCollectorConfig {
    /// `[MetricCollector.NetdevStats]`: which network devices are collected, and how.
    pub netdev_stats: NetdevStatsConfig,
    /// `[MetricCollector.Vmstat]`: which words of `/proc/vmstat` and of a container's
    /// `memory.stat` are collected.
    pub vmstat: VmstatConfig,
    /// `[MetricCollector.NetdevDCB]`: devices whose priority flow control is counted.
    #[serde(rename = "NetdevDCB")]
    pub netdev_dcb: DeviceListConfig,
    /// `[MetricCollector.NetdevHW]`: devices whose hardware drops are counted.
    #[serde(rename = "NetdevHW")]
    pub netdev_hw: DeviceListConfig,
    /// `[MetricCollector.Qdisc]`: queues of network devices.
    pub qdisc: QdiscConfig,
    /// `[MetricCollector.MemoryEvents]`: words of a container's `memory.events`.
    pub memory_events: MemoryEventsConfig,
    /// `[MetricCollector.Netstat]`: words of `/proc/net/netstat` and `/proc/net/snmp`, each behind
    /// its group: `TcpExt_ListenDrops`.
    pub netstat: NetstatConfig,
    /// `[MetricCollector.MountPointStat]`: mount points that must be writable.
    pub mount_point_stat: MountPointConfig,
    /// `[MetricCollector.MetaxGpu]`: GPUs of MetaX.
    pub metax_gpu: MetaxGpuConfig,
    /// `[MetricCollector.NvidiaGpu]`: GPUs of NVIDIA.
    pub nvidia_gpu: NvidiaGpuConfig,
}
