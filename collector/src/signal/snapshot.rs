// SPDX-License-Identifier: Apache-2.0
//! Everything measured at one moment, grouped by entity.

use std::sync::Arc;

use semconv::MetricDef;

use super::{Attribute, Resource, Sizes, UnixNanos};

/// Everything measured at one moment. One snapshot serves the OTLP push and the Prometheus page.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When the collection ended.
    pub time: UnixNanos,
    /// One entry per entity.
    pub entities: Vec<EntityPoints>,
    /// Nothing was left out because the one it was taken for does not show it.
    pub is_whole: bool,
}

impl Snapshot {
    /// One that nothing was left out of.
    pub fn whole(time: UnixNanos, entities: Vec<EntityPoints>) -> Self {
        Self { time, entities, is_whole: true }
    }

    /// How many points each entity has.
    pub fn sizes(&self) -> Sizes {
        let size =
            |entity: &EntityPoints| (Arc::clone(&entity.resource.identity), entity.points.len());
        self.entities.iter().map(size).collect()
    }
}

/// The points of one entity.
#[derive(Debug, Clone)]
pub struct EntityPoints {
    /// Whose they are.
    pub resource: Arc<Resource>,
    /// Points in the order they were recorded; one metric's points need not be neighbours.
    pub points: Vec<Point>,
}

/// One measured value.
#[derive(Debug, Clone)]
pub struct Point {
    /// What was measured.
    pub metric: &'static MetricDef,
    /// Its attributes; keys are declared by the metric.
    pub attributes: Box<[Attribute]>,
    /// Since when a sum or histogram counts; 0 for gauges.
    pub start: UnixNanos,
    /// The value.
    pub value: PointValue,
    /// It is for the legacy page, and not pushed.
    pub page_only: bool,
}

/// The value of a [`Point`].
#[derive(Debug, Clone, PartialEq)]
pub enum PointValue {
    /// Integer sum or gauge.
    Int(i64),
    /// Double sum or gauge.
    Double(f64),
    /// Distribution.
    Histogram(Box<Histogram>),
}

impl PointValue {
    /// The value as a double; the count of a histogram.
    pub fn as_f64(&self) -> f64 {
        match self {
            PointValue::Int(number) => *number as f64,
            PointValue::Double(number) => *number,
            PointValue::Histogram(histogram) => histogram.count() as f64,
        }
    }
}

/// A cumulative distribution over the bounds of its metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Counts, one more than the metric has bounds: the last bucket is open.
    pub buckets: Vec<u64>,
    /// Sum of all values in the metric's unit.
    pub sum: f64,
}

impl Histogram {
    /// Number of values.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}
