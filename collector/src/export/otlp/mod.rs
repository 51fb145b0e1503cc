// SPDX-License-Identifier: Apache-2.0
//! The push: snapshots and events as OTLP to an OpenTelemetry Collector.

mod config;

pub use config::{Compression, OtlpConfig, Protocol, SignalTarget};
