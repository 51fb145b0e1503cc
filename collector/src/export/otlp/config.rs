// SPDX-License-Identifier: Apache-2.0
//! `[Otlp]`: where and how telemetry is pushed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[Otlp]`: push to an OpenTelemetry Collector. The words are those of the
/// `OTEL_EXPORTER_OTLP_*` variables, which override this section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct OtlpConfig {
    /// URL of the Collector, e.g. `http://127.0.0.1:4317`. Empty: nothing is pushed.
    pub endpoint: String,
    /// `grpc` or `http/protobuf`.
    pub protocol: Protocol,
    /// Sent with every request, e.g. `{ authorization = "Bearer …" }`.
    #[schemars(extend("secret" = true))]
    pub headers: BTreeMap<String, String>,
    /// `gzip`, `zstd` or `none`.
    pub compression: Compression,
    /// Seconds one request may take.
    #[schemars(range(min = 0.001, max = 600))]
    pub timeout: f64,
    /// Seconds between two pushes of metrics.
    #[schemars(range(min = 0.1, max = 3600))]
    pub interval: f64,
    /// PEM file of the authorities that the Collector's certificate is checked with. Empty: those
    /// of the system.
    pub certificate: PathBuf,
    /// PEM file of our own certificate for mutual TLS.
    pub client_certificate: PathBuf,
    /// PEM file of the key of `ClientCertificate`.
    pub client_key: PathBuf,
    /// `service.name` of the agent's own telemetry.
    pub service_name: String,
    /// Attributes added to every Resource.
    pub resource_attributes: BTreeMap<String, String>,
    /// Also send `cloudevents.*` attributes on log records.
    pub cloud_events_attributes: bool,
    /// What differs for metrics.
    pub metrics: SignalTarget,
    /// What differs for log records.
    pub logs: SignalTarget,
    /// What differs for the agent's own spans.
    pub traces: SignalTarget,
}

/// What differs for one signal; what is left out is taken from `[Otlp]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct SignalTarget {
    /// Full URL, used as it is (over HTTP no `/v1/…` is added).
    pub endpoint: Option<String>,
    /// `grpc` or `http/protobuf`.
    pub protocol: Option<Protocol>,
    /// Sent with every request.
    #[schemars(extend("secret" = true))]
    pub headers: Option<BTreeMap<String, String>>,
    /// `gzip`, `zstd` or `none`.
    pub compression: Option<Compression>,
    /// Seconds one request may take.
    #[schemars(range(min = 0.001, max = 600))]
    pub timeout: Option<f64>,
    /// PEM file of the authorities.
    pub certificate: Option<PathBuf>,
    /// PEM file of our own certificate.
    pub client_certificate: Option<PathBuf>,
    /// PEM file of its key.
    pub client_key: Option<PathBuf>,
}

/// How OTLP travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// gRPC over HTTP/2.
    #[serde(rename = "grpc")]
    Grpc,
    /// Protobuf in HTTP/1.1 POST requests.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

/// How request bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// Every OTLP receiver takes it.
    Gzip,
    /// Nine times cheaper than gzip; the OpenTelemetry Collector takes it.
    Zstd,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            protocol: Protocol::Grpc,
            headers: BTreeMap::new(),
            compression: Compression::Gzip,
            timeout: 10.0,
            interval: 10.0,
            certificate: PathBuf::new(),
            client_certificate: PathBuf::new(),
            client_key: PathBuf::new(),
            service_name: "huatuo-otel".to_owned(),
            resource_attributes: BTreeMap::new(),
            cloud_events_attributes: true,
            metrics: SignalTarget::default(),
            logs: SignalTarget::default(),
            traces: SignalTarget::default(),
        }
    }
}

impl OtlpConfig {
    /// How long one request may take.
    pub fn timeout(&self) -> Duration {
        seconds(self.timeout)
    }

    /// Time between two pushes of metrics.
    pub fn interval(&self) -> Duration {
        seconds(self.interval)
    }
}

/// Ranges are checked when the configuration is loaded.
pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(10))
}
