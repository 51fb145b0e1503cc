// SPDX-License-Identifier: Apache-2.0
//! What an exporter says about itself.

use std::sync::LazyLock;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use semconv::{MetricDef, attribute, metric};

use super::instrument;

/// Counts what one exporter sent, could not send, and gave up.
#[derive(Debug, Clone)]
pub struct ExporterMeter {
    component: [KeyValue; 2],
    exported: Counter<u64>,
    dropped: &'static Counter<u64>,
    duration: &'static Histogram<f64>,
}

static DROPPED: LazyLock<Counter<u64>> =
    LazyLock::new(|| instrument::counter(&metric::HUATUO_EXPORTER_DROPPED));

static DURATION: LazyLock<Histogram<f64>> =
    LazyLock::new(|| instrument::histogram(&metric::OTEL_SDK_EXPORTER_OPERATION_DURATION));

impl ExporterMeter {
    /// For an exporter of metrics. `kind` and `name` become `otel.component.type` and
    /// `otel.component.name`.
    pub fn of_points(kind: &'static str, name: &'static str) -> Self {
        Self::new(kind, name, &metric::OTEL_SDK_EXPORTER_METRIC_DATA_POINT_EXPORTED)
    }

    /// For an exporter of events.
    pub fn of_events(kind: &'static str, name: &'static str) -> Self {
        Self::new(kind, name, &metric::OTEL_SDK_EXPORTER_LOG_EXPORTED)
    }

    fn new(kind: &'static str, name: &'static str, exported: &'static MetricDef) -> Self {
        Self {
            component: [
                KeyValue::new(attribute::OTEL_COMPONENT_TYPE.key, kind),
                KeyValue::new(attribute::OTEL_COMPONENT_NAME.key, name),
            ],
            exported: instrument::counter(exported),
            dropped: &DROPPED,
            duration: &DURATION,
        }
    }

    /// `items` arrived.
    pub fn exported(&self, items: u64) {
        self.exported.add(items, &self.component);
    }

    /// `items` did not arrive; `error` is one of few words.
    pub fn failed(&self, items: u64, error: &'static str) {
        self.exported.add(items, &self.with_error(error));
    }

    /// `items` were given up for good.
    pub fn dropped(&self, items: u64, error: &'static str) {
        let name = self.component[1].clone();
        self.dropped.add(items, &[name, KeyValue::new(attribute::ERROR_TYPE.key, error)]);
    }

    /// One request took `duration`.
    pub fn operation(&self, duration: Duration, error: Option<&'static str>) {
        match error {
            Some(error) => self.duration.record(duration.as_secs_f64(), &self.with_error(error)),
            None => self.duration.record(duration.as_secs_f64(), &self.component),
        }
    }

    fn with_error(&self, error: &'static str) -> [KeyValue; 3] {
        let [kind, name] = self.component.clone();
        [kind, name, KeyValue::new(attribute::ERROR_TYPE.key, error)]
    }
}
