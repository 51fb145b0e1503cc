// SPDX-License-Identifier: Apache-2.0
//! What collections and events say about themselves.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use semconv::{attribute, metric};

use super::instrument;

/// Measures collections.
pub struct CollectionMeter {
    duration: Histogram<f64>,
    points: Counter<u64>,
    probe_duration: Histogram<f64>,
}

impl Default for CollectionMeter {
    fn default() -> Self {
        Self::new()
    }
}

impl CollectionMeter {
    /// Instruments of the global provider, which must be set before.
    pub fn new() -> Self {
        Self {
            duration: instrument::histogram(&metric::HUATUO_COLLECTION_DURATION),
            points: instrument::counter(&metric::HUATUO_COLLECTION_POINTS),
            probe_duration: instrument::histogram(&metric::HUATUO_PROBE_DURATION),
        }
    }

    /// A collection over all probes took `duration` and gave `points`.
    pub fn collected(&self, duration: Duration, points: u64) {
        self.duration.record(duration.as_secs_f64(), &[]);
        self.points.add(points, &[]);
    }

    /// `probe` took `duration`.
    pub fn probe_collected(&self, probe: &'static str, duration: Duration) {
        let name = KeyValue::new(attribute::HUATUO_PROBE_NAME.key, probe);
        self.probe_duration.record(duration.as_secs_f64(), &[name]);
    }
}

/// Counts events.
pub struct EventMeter {
    recorded: Counter<u64>,
    suppressed: Counter<u64>,
}

impl Default for EventMeter {
    fn default() -> Self {
        Self::new()
    }
}

impl EventMeter {
    /// Instruments of the global provider, which must be set before.
    pub fn new() -> Self {
        Self {
            recorded: instrument::counter(&metric::HUATUO_EVENT_COUNT),
            suppressed: instrument::counter(&metric::HUATUO_EVENT_SUPPRESSED),
        }
    }

    /// An event named `name` was committed to the journal.
    pub fn recorded(&self, name: &'static str) {
        self.recorded.add(1, &[KeyValue::new(attribute::HUATUO_EVENT_NAME.key, name)]);
    }

    /// An event named `name` was not recorded, because of `reason`.
    pub fn suppressed(&self, name: &'static str, reason: &'static str) {
        let name = KeyValue::new(attribute::HUATUO_EVENT_NAME.key, name);
        let reason = KeyValue::new(attribute::HUATUO_SUPPRESSION_REASON.key, reason);
        self.suppressed.add(1, &[name, reason]);
    }
}
