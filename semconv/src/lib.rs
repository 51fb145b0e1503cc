// SPDX-License-Identifier: Apache-2.0
//! What HUATUO OTel says: every metric, event and attribute of the agent as typed constants.
//!
//! The source is `registry/*.yaml` (OpenTelemetry Weaver's `definition/2` format); `build.rs`
//! turns it into [`metric`], [`event`], [`attribute`] and [`family`]. This crate does no I/O and
//! depends on nothing of ours, so that probes, exporters, docs and tests share one contract.

mod def;
pub mod docs;
mod field;

pub use def::{
    AttributeDef, AttributeType, EventDef, Instrument, LegacyEvent, LegacyField, LegacyFormat,
    LegacyKind, LegacyMetric, LegacyScope, MetricDef, Select,
};
pub use field::{Field, FieldFamily, FieldPattern, FieldRule};

/// Prefix of every metric name on the legacy Prometheus page.
pub const LEGACY_PREFIX: &str = "huatuo_bamai_";

/// Schema URL stamped on the instrumentation scope of our own metrics and events.
pub const SCHEMA_URL: &str = concat!("https://huatuo.tech/schemas/", env!("CARGO_PKG_VERSION"));

/// Schema URL of the OpenTelemetry semantic conventions that our Resources follow.
pub const UPSTREAM_SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

include!(concat!(env!("OUT_DIR"), "/registry.rs"));
