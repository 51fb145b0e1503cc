// SPDX-License-Identifier: Apache-2.0
//! Where probes put what they measured.

use std::collections::HashMap;
use std::sync::Arc;

use semconv::{Instrument, MetricDef};

use super::{Attribute, EntityPoints, Histogram, Point, PointValue, Resource, Snapshot, UnixNanos};

/// Numbers of points by the identity of their entity.
pub type Sizes = HashMap<Arc<str>, usize>;

/// Fills a [`Snapshot`], one probe after the other.
#[derive(Debug)]
pub struct Recorder {
    probe: &'static str,
    entities: Vec<EntityPoints>,
    /// Where each entity is, by its identity.
    places: HashMap<Arc<str>, usize>,
    /// Most have as many points in each snapshot.
    sizes: Arc<Sizes>,
}

impl Recorder {
    /// An empty snapshot of `host`.
    pub fn new(host: &Arc<Resource>) -> Self {
        Self::with_room(host, Arc::default())
    }

    /// The same with room for as many points as each entity had before.
    pub fn with_room(host: &Arc<Resource>, sizes: Arc<Sizes>) -> Self {
        let points = Vec::with_capacity(sizes.get(&host.identity).copied().unwrap_or_default());
        let host = EntityPoints { resource: Arc::clone(host), points };
        Self { probe: "", entities: vec![host], places: HashMap::new(), sizes }
    }

    /// What follows is recorded by `probe`.
    pub fn set_probe(&mut self, probe: &'static str) {
        self.probe = probe;
    }

    /// The points of the host.
    pub fn host(&mut self) -> EntityRecorder<'_> {
        let points = &mut self.entities[0].points;
        EntityRecorder { probe: self.probe, points, page_only: false }
    }

    /// The points of a pod or container. What is learnt of it while the snapshot is filled shows in
    /// the next one.
    pub fn entity(&mut self, resource: &Arc<Resource>) -> EntityRecorder<'_> {
        let (entities, sizes) = (&mut self.entities, &self.sizes);
        let index = *self.places.entry(Arc::clone(&resource.identity)).or_insert_with(|| {
            let size = sizes.get(&resource.identity).copied().unwrap_or_default();
            let points = Vec::with_capacity(size);
            entities.push(EntityPoints { resource: Arc::clone(resource), points });
            entities.len() - 1
        });
        let points = &mut self.entities[index].points;
        EntityRecorder { probe: self.probe, points, page_only: false }
    }

    /// Points recorded so far.
    pub fn len(&self) -> usize {
        self.entities.iter().map(|entity| entity.points.len()).sum()
    }

    /// Nothing is recorded yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The snapshot, taken at `time`.
    pub fn finish(mut self, time: UnixNanos) -> Snapshot {
        self.entities.retain(|entity| !entity.points.is_empty());
        Snapshot { time, entities: self.entities }
    }
}

/// Records the points of one entity.
#[derive(Debug)]
pub struct EntityRecorder<'a> {
    probe: &'static str,
    points: &'a mut Vec<Point>,
    page_only: bool,
}

impl EntityRecorder<'_> {
    /// Whether what follows is for the legacy page only.
    pub fn set_page_only(&mut self, page_only: bool) {
        self.page_only = page_only;
    }

    /// A gauge.
    pub fn gauge(&mut self, metric: &'static MetricDef, attributes: Vec<Attribute>, value: f64) {
        debug_assert_eq!(metric.instrument, Instrument::Gauge, "{}", metric.name);
        self.push(metric, attributes, 0, PointValue::Double(value));
    }

    /// A sum of whole things since `start`. A value that OTLP cannot carry (over 2^63) gives no
    /// point.
    pub fn sum(
        &mut self,
        metric: &'static MetricDef,
        attributes: Vec<Attribute>,
        start: UnixNanos,
        value: u64,
    ) {
        debug_assert!(is_sum(metric), "{}", metric.name);
        if let Ok(value) = i64::try_from(value) {
            self.push(metric, attributes, start, PointValue::Int(value));
        }
    }

    /// A sum of fractions, e.g. seconds, since `start`.
    pub fn sum_f64(
        &mut self,
        metric: &'static MetricDef,
        attributes: Vec<Attribute>,
        start: UnixNanos,
        value: f64,
    ) {
        debug_assert!(is_sum(metric), "{}", metric.name);
        self.push(metric, attributes, start, PointValue::Double(value));
    }

    /// A distribution since `start`.
    pub fn histogram(
        &mut self,
        metric: &'static MetricDef,
        attributes: Vec<Attribute>,
        start: UnixNanos,
        histogram: Histogram,
    ) {
        debug_assert_eq!(metric.instrument, Instrument::Histogram, "{}", metric.name);
        debug_assert_eq!(histogram.buckets.len(), metric.bounds.len() + 1, "{}", metric.name);
        self.push(metric, attributes, start, PointValue::Histogram(Box::new(histogram)));
    }

    fn push(
        &mut self,
        metric: &'static MetricDef,
        attributes: Vec<Attribute>,
        start: UnixNanos,
        value: PointValue,
    ) {
        debug_assert!(
            metric.probe == self.probe || Some(metric.probe) == area(self.probe),
            "{} belongs to another probe than {}",
            metric.name,
            self.probe
        );
        debug_assert!(
            attributes
                .iter()
                .all(|(key, _)| metric.attributes.iter().any(|def| def.key == key.key)),
            "{} does not declare all of {attributes:?}",
            metric.name
        );
        let page_only = self.page_only || metric.opt_in;
        let attributes = attributes.into_boxed_slice();
        self.points.push(Point { metric, attributes, start, value, page_only });
    }
}

/// Probes of an area may share metrics: GPUs of all vendors are hardware.
fn area(probe: &str) -> Option<&str> {
    probe.split_once('.').map(|(area, _)| area)
}

fn is_sum(metric: &MetricDef) -> bool {
    matches!(metric.instrument, Instrument::Counter | Instrument::UpDownCounter)
}
