// SPDX-License-Identifier: Apache-2.0
//! A snapshot as `ExportMetricsServiceRequest`s (opentelemetry/proto/metrics/v1/metrics.proto).

use std::collections::HashMap;

use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, DataPointFlags};
use prost::Message;
use semconv::{Instrument, MetricDef, SCHEMA_URL, UPSTREAM_SCHEMA_URL};

use super::{Packer, Request, resource, scope, value, wire};
use crate::signal::{EntityPoints, Histogram, Point, PointValue, Resource, Snapshot, UnixNanos};

/// Requests of at most `limit` bytes, cut between Resources; a Resource that is larger by itself is
/// cut between its points.
///
/// Series of `ended` entities get one last point that says so (`NO_RECORDED_VALUE`), at which stores
/// let them end.
pub fn metrics(snapshot: &Snapshot, ended: &[EntityPoints], limit: usize) -> Vec<Request> {
    let mut writer = Writer::default();
    let mut packer = Packer::new(limit);
    let moment = Moment { time: snapshot.time, ended: false };
    for entity in &snapshot.entities {
        pack(&mut packer, &mut writer, &entity.resource, &entity.points, moment);
    }
    let moment = Moment { ended: true, ..moment };
    for entity in ended {
        pack(&mut packer, &mut writer, &entity.resource, &entity.points, moment);
    }
    packer.finish()
}

/// What all points of an entity have in common.
#[derive(Clone, Copy)]
struct Moment {
    time: UnixNanos,
    ended: bool,
}

fn pack(
    packer: &mut Packer,
    writer: &mut Writer,
    whose: &Resource,
    points: &[Point],
    moment: Moment,
) {
    let items = writer.gather(points, moment);
    if items == 0 {
        return;
    }
    let message = writer.resource_metrics(whose);
    if points.len() > 1 && !packer.fits(message.len()) {
        let (first, second) = points.split_at(points.len() / 2);
        pack(packer, writer, whose, first, moment);
        pack(packer, writer, whose, second, moment);
    } else {
        packer.push(&message, items);
    }
}

/// Points by metric, and metrics by the probe that is their scope, in order of first appearance.
/// One serves all entities.
#[derive(Default)]
struct Writer {
    scopes: Vec<Scope>,
    /// Where each metric is: its scope, and its place there.
    places: HashMap<&'static str, (usize, usize)>,
    /// One point.
    point: Vec<u8>,
}

struct Scope {
    probe: &'static str,
    metrics: Vec<Metric>,
}

struct Metric {
    def: &'static MetricDef,
    /// Its points, as `data_points` of its kind of data.
    points: Vec<u8>,
}

impl Writer {
    /// Takes in the points that are pushed, and tells how many.
    fn gather(&mut self, points: &[Point], moment: Moment) -> u64 {
        self.scopes.clear();
        self.places.clear();
        let mut items = 0;
        // Most points are of the same metric as the one before.
        let mut last: Option<(&str, (usize, usize))> = None;
        for point in points.iter().filter(|point| !point.page_only) {
            let place = match last {
                Some((name, place)) if name == point.metric.name => place,
                _ => self.place(point.metric),
            };
            last = Some((point.metric.name, place));
            self.point.clear();
            if write_point(&mut self.point, point, moment) {
                items += 1;
                let metric = &mut self.scopes[place.0].metrics[place.1];
                wire::bytes(&mut metric.points, 1, &self.point);
            }
        }
        items
    }

    fn place(&mut self, def: &'static MetricDef) -> (usize, usize) {
        let scopes = &mut self.scopes;
        *self.places.entry(def.name).or_insert_with(|| {
            let known = scopes.iter().position(|scope| scope.probe == def.probe);
            let index = known.unwrap_or_else(|| {
                scopes.push(Scope { probe: def.probe, metrics: Vec::new() });
                scopes.len() - 1
            });
            let metrics = &mut scopes[index].metrics;
            metrics.push(Metric { def, points: Vec::new() });
            (index, metrics.len() - 1)
        })
    }

    /// `ResourceMetrics`
    fn resource_metrics(&self, whose: &Resource) -> Vec<u8> {
        let mut out = Vec::with_capacity(4096);
        wire::bytes(&mut out, 1, &resource(whose).encode_to_vec());
        for Scope { probe, metrics } in &self.scopes {
            let scope = scope(probe).encode_to_vec();
            let all: usize = metrics.iter().map(|metric| wire::length(metric.length())).sum();
            let length = wire::length(scope.len()) + all + wire::length(SCHEMA_URL.len());
            wire::begin(&mut out, 2, length);
            wire::bytes(&mut out, 1, &scope);
            metrics.iter().for_each(|metric| metric.write(&mut out));
            wire::bytes(&mut out, 3, SCHEMA_URL.as_bytes());
        }
        wire::bytes(&mut out, 3, UPSTREAM_SCHEMA_URL.as_bytes());
        out
    }
}

/// Fields of `Metric` that hold the points, by the instrument.
const GAUGE: u32 = 5;
const SUM: u32 = 7;
const HISTOGRAM: u32 = 9;

impl Metric {
    fn data(&self) -> (u32, &'static [u8]) {
        const CUMULATIVE: u8 = AggregationTemporality::Cumulative as u8;
        // After the points: aggregation_temporality = 2, is_monotonic = 3.
        match self.def.instrument {
            Instrument::Gauge => (GAUGE, &[]),
            Instrument::Counter => (SUM, &[0x10, CUMULATIVE, 0x18, 1]),
            Instrument::UpDownCounter => (SUM, &[0x10, CUMULATIVE]),
            Instrument::Histogram => (HISTOGRAM, &[0x10, CUMULATIVE]),
        }
    }

    fn texts(&self) -> [&'static str; 3] {
        [self.def.name, self.def.brief, self.def.unit]
    }

    fn length(&self) -> usize {
        let texts: usize = self.texts().iter().map(|text| wire::length(text.len())).sum();
        texts + wire::length(self.points.len() + self.data().1.len())
    }

    fn write(&self, out: &mut Vec<u8>) {
        wire::begin(out, 2, self.length());
        for (field, text) in (1..).zip(self.texts()) {
            wire::bytes(out, field, text.as_bytes());
        }
        let (field, rest) = self.data();
        wire::begin(out, field, self.points.len() + rest.len());
        out.extend_from_slice(&self.points);
        out.extend_from_slice(rest);
    }
}

/// `NumberDataPoint` or `HistogramDataPoint`; false where the value is not of the metric's kind.
fn write_point(out: &mut Vec<u8>, point: &Point, moment: Moment) -> bool {
    let is_histogram = point.metric.instrument == Instrument::Histogram;
    if point.start != 0 {
        wire::eight(out, 2, point.start.to_le_bytes());
    }
    wire::eight(out, 3, moment.time.to_le_bytes());
    match &point.value {
        _ if moment.ended => {}
        PointValue::Int(number) if !is_histogram => wire::eight(out, 6, number.to_le_bytes()),
        PointValue::Double(number) if !is_histogram => wire::eight(out, 4, number.to_le_bytes()),
        PointValue::Histogram(histogram) if is_histogram => {
            write_histogram(out, histogram, point.metric.bounds);
        }
        // The recorder pairs instruments with values.
        _ => {
            debug_assert!(false, "{} has a value of another kind", point.metric.name);
            return false;
        }
    }
    let [attributes, flags] = if is_histogram { [9, 10] } else { [7, 8] };
    value::write(out, attributes, &point.attributes);
    if moment.ended {
        wire::varint(out, flags, DataPointFlags::NoRecordedValueMask as u64);
    }
    true
}

fn write_histogram(out: &mut Vec<u8>, histogram: &Histogram, bounds: &[f64]) {
    wire::eight(out, 4, histogram.count().to_le_bytes());
    wire::eight(out, 5, histogram.sum.to_le_bytes());
    wire::packed(out, 6, histogram.buckets.iter().map(|count| count.to_le_bytes()));
    wire::packed(out, 7, bounds.iter().map(|bound| bound.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use semconv::{attribute, metric};

    use super::*;
    use crate::signal::{EntityKind, Histogram as Waits, Recorder, Value};

    fn host() -> Arc<Resource> {
        let attributes = vec![(&attribute::HOST_NAME, Value::Static("node-1"))];
        Arc::new(Resource::new(EntityKind::Host, attributes))
    }

    fn decode(requests: &[Request]) -> Vec<ExportMetricsServiceRequest> {
        let decode =
            |request: &Request| ExportMetricsServiceRequest::decode(&*request.body).unwrap();
        requests.iter().map(decode).collect()
    }

    fn snapshot() -> Snapshot {
        let mut recorder = Recorder::new(&host());
        recorder.set_probe("network.netdev");
        for device in ["eth0", "eth1"] {
            for direction in ["receive", "transmit"] {
                let attributes = vec![
                    (&attribute::NETWORK_INTERFACE_NAME, Value::Static(device)),
                    (&attribute::NETWORK_IO_DIRECTION, Value::Static(direction)),
                ];
                recorder.host().sum(&metric::SYSTEM_NETWORK_IO, attributes.clone(), 5, 1);
                recorder.host().sum(&metric::SYSTEM_NETWORK_ERRORS, attributes, 5, 2);
            }
        }
        recorder.set_probe("cpu.runqlat");
        let waits = Waits { buckets: (0..14).collect(), sum: 1.5 };
        let def = &metric::LINUX_CPU_RUNQUEUE_WAIT_DURATION;
        recorder.host().histogram(def, Vec::new(), 7, waits);
        recorder.set_probe("cpu.loadavg");
        recorder.host().gauge(&metric::SYSTEM_CPU_LOAD_AVERAGE_1M, Vec::new(), 0.5);
        recorder.finish(9)
    }

    #[test]
    fn points_of_one_metric_come_together_under_the_scope_of_their_probe() {
        let requests = metrics(&snapshot(), &[], MAX);
        assert_eq!((requests.len(), requests[0].items), (1, 10));
        let decoded = decode(&requests).remove(0);
        let resource = &decoded.resource_metrics[0];
        assert_eq!(resource.schema_url, UPSTREAM_SCHEMA_URL);
        let names: Vec<_> = resource
            .scope_metrics
            .iter()
            .map(|scope| (scope.scope.as_ref().unwrap().name.as_str(), scope.metrics.len()))
            .collect();
        assert_eq!(
            names,
            [
                ("huatuo-otel/network.netdev", 2),
                ("huatuo-otel/cpu.runqlat", 1),
                ("huatuo-otel/cpu.loadavg", 1)
            ]
        );
        let Some(Data::Sum(sum)) = &resource.scope_metrics[0].metrics[0].data else { panic!() };
        assert!(sum.is_monotonic);
        assert_eq!(sum.data_points.len(), 4);
        let point = &sum.data_points[0];
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (5, 9));
        assert_eq!(point.attributes.len(), 2);
    }

    #[test]
    fn histograms_keep_their_bounds_and_add_up() {
        let decoded = decode(&metrics(&snapshot(), &[], MAX)).remove(0);
        let metric = &decoded.resource_metrics[0].scope_metrics[1].metrics[0];
        assert_eq!((metric.unit.as_str(), metric.name.as_str()), ("s", WAIT.name));
        let Some(Data::Histogram(histogram)) = &metric.data else { panic!() };
        let point = &histogram.data_points[0];
        assert_eq!(point.explicit_bounds, WAIT.bounds);
        assert_eq!(point.count, point.bucket_counts.iter().sum::<u64>());
        assert_eq!(point.sum, Some(1.5));
        assert_eq!(histogram.aggregation_temporality, 2);
    }

    #[test]
    fn requests_stay_below_the_limit_and_lose_nothing() {
        let one = snapshot().entities.remove(0);
        let entities = (0..50)
            .map(|_| EntityPoints { resource: host(), points: one.points.clone() })
            .collect();
        let many = Snapshot::whole(9, entities);
        // Two Resources fit one request, and then half of one does not.
        for limit in [2 * metrics(&snapshot(), &[], MAX)[0].body.len() + 32, 700] {
            let requests = metrics(&many, &[], limit);
            assert!(requests.len() >= 25);
            assert!(requests.iter().all(|request| request.body.len() <= limit));
            assert_eq!(requests.iter().map(|request| request.items).sum::<u64>(), 500);
            let points: usize = decode(&requests)
                .iter()
                .flat_map(|request| &request.resource_metrics)
                .flat_map(|resource| &resource.scope_metrics)
                .flat_map(|scope| &scope.metrics)
                .map(|metric| match metric.data.as_ref().unwrap() {
                    Data::Sum(sum) => sum.data_points.len(),
                    Data::Gauge(gauge) => gauge.data_points.len(),
                    Data::Histogram(histogram) => histogram.data_points.len(),
                    _ => 0,
                })
                .sum();
            assert_eq!(points, 500);
        }
    }

    fn empty() -> Snapshot {
        Snapshot::whole(9, Vec::new())
    }

    #[test]
    fn series_of_what_ended_get_a_last_point_without_a_value() {
        let ended = snapshot().entities;
        let decoded = decode(&metrics(&empty(), &ended, MAX)).remove(0);
        let scopes = &decoded.resource_metrics[0].scope_metrics;
        let Some(Data::Sum(sum)) = &scopes[0].metrics[0].data else { panic!() };
        assert_eq!(sum.data_points.len(), 4);
        let point = &sum.data_points[0];
        assert_eq!((point.flags, point.value, point.time_unix_nano), (1, None, 9));
        let Some(Data::Histogram(histogram)) = &scopes[1].metrics[0].data else { panic!() };
        let point = &histogram.data_points[0];
        assert_eq!((point.flags, point.count, point.bucket_counts.len()), (1, 0, 0));
    }

    #[test]
    fn an_empty_snapshot_gives_no_request() {
        assert_eq!(metrics(&empty(), &[], MAX), []);
    }

    const MAX: usize = super::super::MAX_REQUEST;
    static WAIT: &MetricDef = &metric::LINUX_CPU_RUNQUEUE_WAIT_DURATION;
}
