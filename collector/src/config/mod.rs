// SPDX-License-Identifier: Apache-2.0
//! The configuration: the sections of all probes and exporters, gathered under one root.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::export::localfile::LocalFileConfig;
use crate::export::otlp::OtlpConfig;
use crate::journal::JournalConfig;
use crate::probes::memory::vmstat::VmstatConfig;
use crate::probes::network::netdev::NetdevStatsConfig;
use crate::server::{EventsWatchConfig, ServerConfig};

/// The whole configuration. A section is defined beside the probe or exporter it configures.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Config {
    /// Probes that are not started, by their name here or in HUATUO.
    pub black_list: Vec<String>,
    /// Region of the host, e.g. `cn-beijing`. `--region` overrides it.
    pub region: String,
    /// `[Otlp]`
    pub otlp: OtlpConfig,
    /// `[Server]`
    pub server: ServerConfig,
    /// `[EventsWatch]`
    pub events_watch: EventsWatchConfig,
    /// `[Journal]`
    pub journal: JournalConfig,
    /// `[Storage]`
    pub storage: StorageConfig,
    /// `[MetricCollector]`
    pub metric_collector: MetricCollectorConfig,
}

/// `[Storage]`: where events are kept beside the OTLP push.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct StorageConfig {
    /// `[Storage.LocalFile]`
    pub local_file: LocalFileConfig,
}

/// `[MetricCollector]`: what the metric probes look at.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct MetricCollectorConfig {
    /// `[MetricCollector.NetdevStats]`
    pub netdev_stats: NetdevStatsConfig,
    /// `[MetricCollector.Vmstat]`
    pub vmstat: VmstatConfig,
}
