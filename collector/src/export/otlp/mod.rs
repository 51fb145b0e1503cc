// SPDX-License-Identifier: Apache-2.0
//! The push: snapshots and events as OTLP to an OpenTelemetry Collector.
//!
//! `target` (where) → `encode` (what) → `payload` (compressed once) → `courier` (again and again)
//! → `grpc` or `http`.

mod config;
mod courier;
pub mod encode;
mod grpc;
mod http;
mod outcome;
mod payload;
mod push_logs;
mod push_metrics;
mod target;

pub use config::{Compression, OtlpConfig, Protocol, SignalTarget};
pub use grpc::channel as grpc_channel;
pub use http::client as http_client;
pub use outcome::{Accepted, Failure, grpc_status};
pub use push_logs::LogPush;
pub use push_metrics::MetricPush;
pub use target::{Signal, Target, TargetError, TlsFiles, resolve};

/// How we name ourselves to receivers.
const USER_AGENT_NAME: &str = concat!("huatuo-otel/", env!("CARGO_PKG_VERSION"));
