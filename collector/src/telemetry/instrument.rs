// SPDX-License-Identifier: Apache-2.0
//! Instruments of the SDK from entries of the registry.

use opentelemetry::global;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use semconv::MetricDef;

/// The meter of the agent's own metrics. Instruments made before the provider is set stay silent.
pub(super) fn meter() -> Meter {
    global::meter("huatuo-otel/agent")
}

pub(super) fn counter(def: &'static MetricDef) -> Counter<u64> {
    meter().u64_counter(def.name).with_unit(def.unit).with_description(def.brief).build()
}

pub(super) fn histogram(def: &'static MetricDef) -> Histogram<f64> {
    meter()
        .f64_histogram(def.name)
        .with_unit(def.unit)
        .with_description(def.brief)
        .with_boundaries(def.bounds.to_vec())
        .build()
}
