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
    audience: Audience,
    left_out: bool,
}

/// Whom a snapshot is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// A push: points for the legacy page are left out where they are many.
    Push,
    /// The legacy page: points that it does not show are left out.
    Page,
    /// All who want it.
    Everyone,
}

impl Recorder {
    /// An empty snapshot of `host`.
    pub fn new(host: &Arc<Resource>) -> Self {
        Self::for_audience(host, Arc::default(), Audience::Everyone)
    }

    /// The same with room for as many points as each entity had before.
    pub fn for_audience(host: &Arc<Resource>, sizes: Arc<Sizes>, audience: Audience) -> Self {
        let points = Vec::with_capacity(sizes.get(&host.identity).copied().unwrap_or_default());
        let host = EntityPoints { resource: Arc::clone(host), points };
        Self {
            probe: "",
            entities: vec![host],
            places: HashMap::new(),
            sizes,
            audience,
            left_out: false,
        }
    }

    /// What follows is recorded by `probe`.
    pub fn set_probe(&mut self, probe: &'static str) {
        self.probe = probe;
    }

    /// The points of the host.
    pub fn host(&mut self) -> EntityRecorder<'_> {
        self.recorder_at(0)
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
        self.recorder_at(index)
    }

    fn recorder_at(&mut self, index: usize) -> EntityRecorder<'_> {
        EntityRecorder {
            probe: self.probe,
            points: &mut self.entities[index].points,
            page_only: false,
            audience: self.audience,
            left_out: &mut self.left_out,
        }
    }

    /// Whether what is only pushed is to be recorded at all.
    pub fn admits_what_is_only_pushed(&mut self) -> bool {
        let admitted = self.audience != Audience::Page;
        self.left_out |= !admitted;
        admitted
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
        Snapshot { time, entities: self.entities, is_whole: !self.left_out }
    }
}

/// Records the points of one entity.
#[derive(Debug)]
pub struct EntityRecorder<'a> {
    probe: &'static str,
    points: &'a mut Vec<Point>,
    page_only: bool,
    audience: Audience,
    left_out: &'a mut bool,
}

impl EntityRecorder<'_> {
    /// Whether what follows, which may be for the legacy page only, is to be recorded at all.
    pub fn admits(&mut self, page_only: bool) -> bool {
        self.page_only = page_only;
        let admitted = !page_only || self.audience != Audience::Push;
        *self.left_out |= !admitted;
        admitted
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
        if self.audience == Audience::Page && metric.legacy.is_empty() {
            *self.left_out = true;
            return;
        }
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

#[cfg(test)]
mod tests {
    use semconv::{attribute, metric};

    use super::*;
    use crate::signal::EntityKind;

    /// A metric of both, a word that is on the page only, and a metric that is pushed only.
    fn snapshot(audience: Audience) -> Snapshot {
        let name = (&attribute::HOST_NAME, "node-1".into());
        let host = Arc::new(Resource::new(EntityKind::Host, vec![name]));
        let mut recorder = Recorder::for_audience(&host, Arc::default(), audience);
        recorder.set_probe("memory.oom");
        let mut host = recorder.host();
        for page_only in [false, true] {
            if host.admits(page_only) {
                host.sum(&metric::LINUX_MEMORY_OOM_KILLS, Vec::new(), 1, 2);
            }
        }
        recorder.set_probe("system.kernel");
        recorder.host().sum(&metric::LINUX_FILE_HANDLE_LIMIT, Vec::new(), 1, 2);
        recorder.finish(3)
    }

    #[test]
    fn each_gets_what_it_shows_and_knows_whether_that_is_all() {
        for (audience, page_only, is_whole) in [
            (Audience::Push, &[false, false][..], false),
            (Audience::Page, &[false, true], false),
            (Audience::Everyone, &[false, true, false], true),
        ] {
            let snapshot = snapshot(audience);
            let points = snapshot.entities[0].points.iter();
            let found: Vec<bool> = points.map(|point| point.page_only).collect();
            assert_eq!((&*found, snapshot.is_whole), (page_only, is_whole), "{audience:?}");
        }
    }
}
