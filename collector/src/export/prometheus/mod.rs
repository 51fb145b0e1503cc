// SPDX-License-Identifier: Apache-2.0
//! The legacy page: a snapshot under HUATUO's metric names, as Prometheus text or OpenMetrics.
//! Which point becomes which series is said by the registry alone.

mod families;
mod number;
mod pieces;

use std::borrow::Cow;
use std::collections::HashMap;
use std::iter::once;

use semconv::{AttributeDef, LegacyMetric, LegacyScope, MetricDef, attribute};

use crate::signal::{EntityKind, Histogram, Point, PointValue, Resource, Snapshot, Value};
use families::{Families, Labels, labels};
use pieces::Pieces;

/// How the page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What a client that sends `accept` gets: OpenMetrics only where it is asked for.
    pub fn negotiate(accept: &str) -> Self {
        let wanted = |part: &str| {
            let mut words = part.split(';').map(str::trim);
            let is_open_metrics = words.next() == Some("application/openmetrics-text");
            is_open_metrics
                && !words.any(|word| matches!(word, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        };
        if accept.split(',').any(wanted) { Format::OpenMetrics } else { Format::Text }
    }

    /// The `Content-Type` of the page.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The page. Families and series are sorted, so that two pages can be compared.
pub fn render(snapshot: &Snapshot, format: Format) -> String {
    pieces(snapshot, format).collect()
}

/// The page in pieces: one of any size is written piece by piece.
pub fn pieces(snapshot: &Snapshot, format: Format) -> impl Iterator<Item = String> + use<> {
    Pieces::new(families(snapshot), format)
}

fn families(snapshot: &Snapshot) -> Families {
    let points = snapshot.entities.iter().map(|entity| entity.points.len()).sum();
    let mut families = Families::with_capacity(points);
    let (containers, by_pod) = labels_of_containers(snapshot);
    for entity in &snapshot.entities {
        let is_host = entity.resource.kind == EntityKind::Host;
        // HUATUO knows no pods, and shows what is a pod's with each of its containers.
        let own = match entity.resource.kind {
            EntityKind::Pod => by_pod.get(&*entity.resource.identity).cloned().unwrap_or_default(),
            EntityKind::Host | EntityKind::Container => vec![common_labels(&entity.resource)],
        };
        let is_same = |one: &Point, other: &Point| std::ptr::eq(one.metric, other.metric);
        for points in entity.points.chunk_by(is_same) {
            for legacy in points[0].metric.legacy {
                let whose = match legacy.scope {
                    LegacyScope::Any => &own,
                    LegacyScope::Host if is_host => &own,
                    LegacyScope::Container if !is_host => &own,
                    LegacyScope::EachContainer if is_host => &containers,
                    _ => continue,
                };
                add(&mut families, legacy, points, whose);
            }
        }
    }
    families
}

/// Labels of all containers, and of those of each pod by its UID.
fn labels_of_containers(snapshot: &Snapshot) -> (Vec<Labels>, HashMap<&str, Vec<Labels>>) {
    let (mut all, mut by_pod) = (Vec::new(), HashMap::<_, Vec<Labels>>::new());
    let entities = snapshot.entities.iter().map(|entity| &*entity.resource);
    for container in entities.filter(|entity| entity.kind == EntityKind::Container) {
        let labels = common_labels(container);
        by_pod.entry(container.text(&attribute::K8S_POD_UID)).or_default().push(labels.clone());
        all.push(labels);
    }
    (all, by_pod)
}

/// Adds points of one metric, once for each of `whose` labels.
fn add(families: &mut Families, legacy: &'static LegacyMetric, points: &[Point], whose: &[Labels]) {
    let place = families.of(legacy);
    let factor = if legacy.pages { legacy.factor / page_size() } else { legacy.factor };
    for point in points.iter().filter(|point| is_chosen(legacy, point)) {
        let own = legacy.labels.iter().map(|(label, def)| (*label, shown(legacy, point, def)));
        match &point.value {
            PointValue::Histogram(histogram) if !legacy.zones.is_empty() => {
                for (zone, count) in zones(point.metric, legacy, histogram).into_iter().enumerate()
                {
                    let zone = once(("zone", Cow::Owned(zone.to_string())));
                    let labels = own.clone().chain(zone);
                    let value = count as f64 * factor;
                    whose
                        .iter()
                        .for_each(|common| families.add(place, common, labels.clone(), value));
                }
            }
            value => {
                let value = value.as_f64() * factor;
                whose.iter().for_each(|common| families.add(place, common, own.clone(), value));
            }
        }
    }
}

/// Whether a point passes all that the metric selects.
fn is_chosen(legacy: &LegacyMetric, point: &Point) -> bool {
    legacy.select.iter().all(|select| {
        let value = value_of(point, select.attribute).and_then(Value::as_str);
        value.is_some_and(|value| select.values.contains(&value))
    })
}

/// What a label says of a point.
fn shown<'a>(legacy: &LegacyMetric, point: &'a Point, def: &AttributeDef) -> Cow<'a, str> {
    let value = value_of(point, def).map(text).unwrap_or_default();
    let word = legacy.words.iter().find(|(ours, _)| *ours == value);
    word.map_or(value, |(_, word)| Cow::Borrowed(word))
}

/// The buckets between the edges of HUATUO's zones, added up. Edges are bounds of the histogram.
fn zones(def: &MetricDef, legacy: &LegacyMetric, histogram: &Histogram) -> Vec<u64> {
    let mut zones = vec![0; legacy.zones.len() + 1];
    for (index, count) in histogram.buckets.iter().enumerate() {
        let bound = def.bounds.get(index).copied().unwrap_or(f64::INFINITY);
        zones[legacy.zones.iter().take_while(|edge| **edge < bound).count()] += count;
    }
    if legacy.skip_below {
        zones.remove(0);
    }
    zones
}

fn page_size() -> f64 {
    rustix::param::page_size() as f64
}

fn common_labels(resource: &Resource) -> Labels {
    let of = |def| resource.text(def).to_owned();
    let mut common =
        vec![("host", of(&attribute::HOST_NAME)), ("region", of(&attribute::CLOUD_REGION))];
    if resource.kind == EntityKind::Container {
        common.extend([
            ("container_host", container_host(resource)),
            ("container_hostnamespace", of(&attribute::K8S_NAMESPACE_NAME)),
            ("container_level", of(&attribute::K8S_POD_QOS_CLASS).to_lowercase()),
            ("container_name", container_name(resource)),
            ("container_type", of(&attribute::HUATUO_CONTAINER_TYPE)),
        ]);
    }
    labels(common)
}

/// The host name that the container sees; without one, its name or short id, so that series of two
/// containers stay apart.
fn container_host(resource: &Resource) -> String {
    match resource.text(&attribute::K8S_POD_HOSTNAME) {
        "" => container_name(resource),
        hostname => hostname.to_owned(),
    }
}

fn container_name(resource: &Resource) -> String {
    let names = [&attribute::K8S_CONTAINER_NAME, &attribute::CONTAINER_NAME];
    let known = names.into_iter().map(|def| resource.text(def)).find(|name| !name.is_empty());
    let id = resource.text(&attribute::CONTAINER_ID);
    known.unwrap_or_else(|| id.get(..12).unwrap_or(id)).to_owned()
}

/// There is one definition of each attribute, so its place tells it from others.
fn value_of<'a>(point: &'a Point, wanted: &AttributeDef) -> Option<&'a Value> {
    point.attributes.iter().find(|(def, _)| std::ptr::eq(*def, wanted)).map(|(_, value)| value)
}

fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Static(text) => Cow::Borrowed(text),
        Value::Str(text) => Cow::Borrowed(text),
        Value::Bool(truth) => Cow::Owned(truth.to_string()),
        Value::Int(number) => Cow::Owned(number.to_string()),
        Value::Bits(bits) => Cow::Owned(format!("{bits:#018x}")),
        Value::Double(number) => {
            let mut out = String::new();
            number::print(*number, &mut out);
            Cow::Owned(out)
        }
        // No label is a list.
        Value::Array(_) | Value::Map(_) => Cow::Borrowed(""),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use semconv::metric;

    use super::*;
    use crate::signal::Recorder;

    fn host() -> Arc<Resource> {
        let attributes = vec![
            (&attribute::HOST_NAME, Value::Static("hostname")),
            (&attribute::CLOUD_REGION, Value::Static("dev")),
        ];
        Arc::new(Resource::new(EntityKind::Host, attributes))
    }

    fn coredns() -> Arc<Resource> {
        let attributes = vec![
            (&attribute::CONTAINER_ID, Value::Static("0123456789abcdef")),
            (&attribute::HOST_NAME, Value::Static("hostname")),
            (&attribute::CLOUD_REGION, Value::Static("dev")),
            (&attribute::K8S_POD_HOSTNAME, Value::Static("coredns-855c4dd65d-8v5kg")),
            (&attribute::K8S_NAMESPACE_NAME, Value::Static("kube-system")),
            (&attribute::K8S_POD_QOS_CLASS, Value::Static("Burstable")),
            (&attribute::K8S_CONTAINER_NAME, Value::Static("coredns")),
            (&attribute::HUATUO_CONTAINER_TYPE, Value::Static("normal")),
        ];
        Arc::new(Resource::new(EntityKind::Container, attributes))
    }

    fn waits() -> Histogram {
        // Seven bounds up to 10 ms, two to 50 ms, the rest above.
        let mut buckets = vec![0; 14];
        (buckets[0], buckets[6], buckets[7], buckets[8], buckets[13]) = (35_000, 100, 3, 2, 1);
        Histogram { buckets, sum: 1.0 }
    }

    fn snapshot() -> Snapshot {
        let mut recorder = Recorder::new(&host());
        recorder.set_probe("cpu.runqlat");
        recorder.host().histogram(
            &metric::LINUX_CPU_RUNQUEUE_WAIT_DURATION,
            Vec::new(),
            1,
            waits(),
        );
        recorder.entity(&coredns()).histogram(
            &metric::LINUX_CGROUP_CPU_RUNQUEUE_WAIT_DURATION,
            Vec::new(),
            1,
            waits(),
        );
        recorder.set_probe("cpu.utilization");
        for (mode, share) in [("user", 0.25), ("nice", 0.5), ("idle", 0.25)] {
            let mode = vec![(&attribute::CPU_MODE, Value::Static(mode))];
            recorder.host().gauge(&metric::SYSTEM_CPU_UTILIZATION, mode, share);
        }
        recorder.set_probe("network.netdev");
        let device = vec![
            (&attribute::NETWORK_INTERFACE_NAME, Value::Static("eth\"0\\")),
            (&attribute::NETWORK_IO_DIRECTION, Value::Static("receive")),
        ];
        recorder.host().sum(&metric::SYSTEM_NETWORK_IO, device, 1, 64_400_018);
        recorder.set_probe("network.hardware");
        let device = vec![(&attribute::NETWORK_INTERFACE_NAME, Value::Static("eth0"))];
        let dropped = &metric::LINUX_NETWORK_HARDWARE_PACKET_DROPPED;
        recorder.host().sum(dropped, device, 1, 5);
        recorder.finish(9)
    }

    #[test]
    fn histograms_become_the_zones_of_huatuos_page() {
        let page = render(&snapshot(), Format::Text);
        let expected = "\
# HELP huatuo_bamai_runqlat_latency cpu run queue latency for the host
# TYPE huatuo_bamai_runqlat_latency gauge
huatuo_bamai_runqlat_latency{host=\"hostname\",region=\"dev\",zone=\"0\"} 35100
huatuo_bamai_runqlat_latency{host=\"hostname\",region=\"dev\",zone=\"1\"} 3
huatuo_bamai_runqlat_latency{host=\"hostname\",region=\"dev\",zone=\"2\"} 2
huatuo_bamai_runqlat_latency{host=\"hostname\",region=\"dev\",zone=\"3\"} 1
";
        assert!(page.contains(expected), "{page}");
    }

    #[test]
    fn series_of_a_container_have_huatuos_labels() {
        let page = render(&snapshot(), Format::Text);
        let expected = "huatuo_bamai_runqlat_container_latency{\
            container_host=\"coredns-855c4dd65d-8v5kg\",container_hostnamespace=\"kube-system\",\
            container_level=\"burstable\",container_name=\"coredns\",container_type=\"normal\",\
            host=\"hostname\",region=\"dev\",zone=\"0\"} 35100\n";
        assert!(page.contains(expected), "{page}");
    }

    #[test]
    fn points_are_selected_added_up_and_scaled() {
        let page = render(&snapshot(), Format::Text);
        assert!(page.contains("huatuo_bamai_cpu_util_usr{host=\"hostname\",region=\"dev\"} 75\n"));
        assert!(
            page.contains("huatuo_bamai_cpu_util_total{host=\"hostname\",region=\"dev\"} 75\n")
        );
        assert!(!page.contains("cpu_util_sys{"), "no point of those modes was there");
    }

    #[test]
    fn labels_are_escaped_and_large_numbers_look_as_before() {
        let page = render(&snapshot(), Format::Text);
        let expected = "huatuo_bamai_netdev_receive_bytes_total{device=\"eth\\\"0\\\\\",\
            host=\"hostname\",region=\"dev\"} 6.4400018e+07\n";
        assert!(page.contains(expected), "{page}");
    }

    #[test]
    fn open_metrics_names_counters_without_their_ending_and_has_an_end() {
        let page = render(&snapshot(), Format::OpenMetrics);
        assert!(page.contains("# TYPE huatuo_bamai_netdev_receive_bytes counter\n"));
        assert!(page.contains("huatuo_bamai_netdev_receive_bytes_total{device="));
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn open_metrics_has_one_family_of_a_name() {
        let page = render(&snapshot(), Format::OpenMetrics);
        assert!(page.contains("# TYPE huatuo_bamai_netdev_hw_rx_dropped gauge\n"));
        assert!(page.contains("# TYPE huatuo_bamai_netdev_hw_rx_dropped_total unknown\n"));
        let mut titles: Vec<_> = page.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let all = titles.len();
        titles.sort_unstable_by_key(|line| line.split(' ').nth(2));
        titles.dedup_by_key(|line| line.split(' ').nth(2));
        assert_eq!(titles.len(), all, "{page}");
    }

    #[test]
    fn open_metrics_is_given_to_those_who_ask_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1";
        assert_eq!(Format::negotiate(prometheus), Format::OpenMetrics);
        for accept in ["", "*/*", "text/plain", "application/openmetrics-text;q=0"] {
            assert_eq!(Format::negotiate(accept), Format::Text, "{accept}");
        }
    }

    #[test]
    fn a_container_without_names_is_known_by_its_short_id() {
        let attributes = vec![(&attribute::CONTAINER_ID, Value::Static("0123456789abcdef"))];
        let bare = Resource::new(EntityKind::Container, attributes);
        assert_eq!(container_host(&bare), "0123456789ab");
    }
}
