// SPDX-License-Identifier: Apache-2.0
//! A snapshot as `ExportMetricsServiceRequest`s.

use std::collections::HashMap;

use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, DataPointFlags, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data,
};
use prost::Message;
use semconv::{Instrument, MetricDef, SCHEMA_URL, UPSTREAM_SCHEMA_URL};

use super::{Packer, Request, resource, scope, value};
use crate::signal::{EntityPoints, Point, PointValue, Resource, Snapshot, UnixNanos};

/// Requests of at most `limit` bytes, cut between Resources; a Resource that is larger by itself is
/// cut between its points. One `ResourceMetrics` is built, encoded and dropped at a time.
///
/// Series of `ended` entities get one last point that says so (`NO_RECORDED_VALUE`), at which stores
/// let them end.
pub fn metrics(snapshot: &Snapshot, ended: &[EntityPoints], limit: usize) -> Vec<Request> {
    let mut packer = Packer::new(limit);
    let moment = Moment { time: snapshot.time, ended: false };
    for entity in &snapshot.entities {
        pack(&mut packer, &entity.resource, &entity.points, moment);
    }
    for entity in ended {
        pack(&mut packer, &entity.resource, &entity.points, Moment { ended: true, ..moment });
    }
    packer.finish()
}

/// What all points of an entity have in common.
#[derive(Clone, Copy)]
struct Moment {
    time: UnixNanos,
    ended: bool,
}

impl Moment {
    fn flags(self) -> u32 {
        if self.ended { DataPointFlags::NoRecordedValueMask as u32 } else { 0 }
    }
}

fn pack(packer: &mut Packer, whose: &Resource, points: &[Point], moment: Moment) {
    if points.is_empty() {
        return;
    }
    let message = ResourceMetrics {
        resource: Some(resource(whose)),
        scope_metrics: scopes(points, moment),
        schema_url: UPSTREAM_SCHEMA_URL.to_owned(),
    };
    if points.len() > 1 && !packer.fits(message.encoded_len()) {
        drop(message);
        let (first, second) = points.split_at(points.len() / 2);
        pack(packer, whose, first, moment);
        pack(packer, whose, second, moment);
    } else {
        packer.push(&message, points.len() as u64);
    }
}

/// One scope per probe, one metric per definition, both in order of first appearance.
fn scopes(points: &[Point], moment: Moment) -> Vec<ScopeMetrics> {
    let mut scopes: Vec<ScopeMetrics> = Vec::new();
    let mut of_probe: HashMap<&str, usize> = HashMap::new();
    let mut of_metric: HashMap<&str, (usize, usize)> = HashMap::new();
    for point in points.iter().filter(|point| !point.page_only) {
        let def = point.metric;
        let (scope_index, metric_index) = *of_metric.entry(def.name).or_insert_with(|| {
            let scope_index = *of_probe.entry(def.probe).or_insert_with(|| {
                scopes.push(ScopeMetrics {
                    scope: Some(scope(def.probe)),
                    metrics: Vec::new(),
                    schema_url: SCHEMA_URL.to_owned(),
                });
                scopes.len() - 1
            });
            let metrics = &mut scopes[scope_index].metrics;
            metrics.push(describe(def));
            (scope_index, metrics.len() - 1)
        });
        add(&mut scopes[scope_index].metrics[metric_index], point, moment);
    }
    scopes
}

fn describe(def: &MetricDef) -> Metric {
    let aggregation_temporality = AggregationTemporality::Cumulative as i32;
    let sum = |is_monotonic| {
        Data::Sum(Sum { is_monotonic, aggregation_temporality, data_points: vec![] })
    };
    Metric {
        name: def.name.to_owned(),
        description: def.brief.to_owned(),
        unit: def.unit.to_owned(),
        data: Some(match def.instrument {
            Instrument::Counter => sum(true),
            Instrument::UpDownCounter => sum(false),
            Instrument::Gauge => Data::Gauge(Gauge::default()),
            Instrument::Histogram => {
                Data::Histogram(Histogram { aggregation_temporality, data_points: vec![] })
            }
        }),
        ..Default::default()
    }
}

fn add(metric: &mut Metric, point: &Point, moment: Moment) {
    match (&mut metric.data, &point.value) {
        (Some(Data::Sum(sum)), PointValue::Int(number)) => {
            sum.data_points.push(number_point(point, Number::AsInt(*number), moment));
        }
        (Some(Data::Sum(sum)), PointValue::Double(number)) => {
            sum.data_points.push(number_point(point, Number::AsDouble(*number), moment));
        }
        (Some(Data::Gauge(gauge)), PointValue::Int(number)) => {
            gauge.data_points.push(number_point(point, Number::AsInt(*number), moment));
        }
        (Some(Data::Gauge(gauge)), PointValue::Double(number)) => {
            gauge.data_points.push(number_point(point, Number::AsDouble(*number), moment));
        }
        (Some(Data::Histogram(histogram)), PointValue::Histogram(_)) => {
            histogram.data_points.extend(histogram_point(point, moment));
        }
        // The recorder pairs instruments with values.
        _ => debug_assert!(false, "{} has a value of another kind", point.metric.name),
    }
}

fn number_point(point: &Point, number: Number, moment: Moment) -> NumberDataPoint {
    NumberDataPoint {
        attributes: value::attributes(&point.attributes),
        start_time_unix_nano: point.start,
        time_unix_nano: moment.time,
        flags: moment.flags(),
        value: (!moment.ended).then_some(number),
        ..Default::default()
    }
}

fn histogram_point(point: &Point, moment: Moment) -> Option<HistogramDataPoint> {
    let PointValue::Histogram(histogram) = &point.value else { return None };
    let frame = HistogramDataPoint {
        attributes: value::attributes(&point.attributes),
        start_time_unix_nano: point.start,
        time_unix_nano: moment.time,
        flags: moment.flags(),
        ..Default::default()
    };
    if moment.ended {
        return Some(frame);
    }
    Some(HistogramDataPoint {
        count: histogram.count(),
        sum: Some(histogram.sum),
        bucket_counts: histogram.buckets.clone(),
        explicit_bounds: point.metric.bounds.to_vec(),
        ..frame
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
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
        let many = Snapshot { time: 9, entities };
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
        Snapshot { time: 9, entities: Vec::new() }
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
