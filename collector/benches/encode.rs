// SPDX-License-Identifier: Apache-2.0
//! CPU time of encoding a snapshot, and of compressing it, per series.

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use huatuo_otel::export::otlp::encode::{MAX_REQUEST, metrics};
use huatuo_otel::signal::{EntityKind, EntityPoints, Recorder, Resource, Snapshot, Value};
use rustix::time::{ClockId, clock_gettime};
use semconv::{attribute, family, metric};

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn entity(id: usize) -> EntityPoints {
    let id = format!("{id:064x}");
    let attributes = vec![
        (&attribute::CONTAINER_ID, id.as_str().into()),
        (&attribute::HOST_NAME, Value::Static("node-1")),
        (&attribute::K8S_POD_NAME, Value::Static("coredns-855c4dd65d-8v5kg")),
        (&attribute::K8S_NAMESPACE_NAME, Value::Static("kube-system")),
    ];
    let host = Arc::new(Resource::new(EntityKind::Host, attributes));
    let mut recorder = Recorder::new(&host);
    recorder.set_probe("memory.vmstat");
    for word in 0..68u64 {
        let field = family::VMSTAT.field(&format!("nr_bench_{word}")).unwrap();
        recorder.host().sum(field.metric, Vec::new(), 1, word * 1_234_567);
    }
    recorder.set_probe("network.netdev");
    for device in ["eth0", "eth1"] {
        for direction in ["receive", "transmit"] {
            for def in [
                &metric::SYSTEM_NETWORK_IO,
                &metric::SYSTEM_NETWORK_PACKET_COUNT,
                &metric::SYSTEM_NETWORK_ERRORS,
                &metric::SYSTEM_NETWORK_PACKET_DROPPED,
                &metric::LINUX_NETWORK_INTERFACE_COMPRESSED_PACKET_COUNT,
                &metric::LINUX_NETWORK_INTERFACE_COMPRESSED_PACKET_COUNT,
                &metric::SYSTEM_NETWORK_IO,
                &metric::SYSTEM_NETWORK_ERRORS,
            ] {
                let attributes = vec![
                    (&attribute::NETWORK_INTERFACE_NAME, Value::Static(device)),
                    (&attribute::NETWORK_IO_DIRECTION, Value::Static(direction)),
                ];
                recorder.host().sum(def, attributes, 1, 987_654_321);
            }
        }
    }
    recorder.finish(2).entities.remove(0)
}

fn per_series(series: usize, mut work: impl FnMut()) -> f64 {
    work();
    let rounds = (400_000 / series).max(5);
    let begin = cpu_time();
    for _ in 0..rounds {
        work();
    }
    (cpu_time() - begin).as_nanos() as f64 / (rounds * series) as f64
}

fn main() {
    println!(
        "| series | encode ns/series | zstd-1 | gzip-3 | bytes/series | with zstd-1 | with gzip-3 |"
    );
    println!("|---|---|---|---|---|---|---|");
    for entities in [10, 100, 400] {
        let entities = (0..entities).map(entity).collect();
        let snapshot = Snapshot::whole(2, entities);
        let series: usize = snapshot.entities.iter().map(|entity| entity.points.len()).sum();
        let bodies: Vec<Vec<u8>> =
            metrics(&snapshot, &[], MAX_REQUEST).into_iter().map(|request| request.body).collect();
        let encode = per_series(series, || {
            black_box(metrics(black_box(&snapshot), &[], MAX_REQUEST));
        });
        let zstd = |body: &[u8]| zstd::bulk::compress(body, 1).unwrap();
        let gzip = |body: &[u8]| {
            let level = flate2::Compression::new(3);
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        };
        let each = |compress: &dyn Fn(&[u8]) -> Vec<u8>| {
            let size: usize = bodies.iter().map(|body| compress(body).len()).sum();
            let time = per_series(series, || {
                bodies.iter().for_each(|body| drop(black_box(compress(body))));
            });
            (time, size as f64 / series as f64)
        };
        let (zstd_time, zstd_size) = each(&zstd);
        let (gzip_time, gzip_size) = each(&gzip);
        let raw = bodies.iter().map(Vec::len).sum::<usize>() as f64 / series as f64;
        println!(
            "| {series} | {encode:.0} | {zstd_time:.0} | {gzip_time:.0} | {raw:.0} | \
             {zstd_size:.1} | {gzip_size:.1} |"
        );
    }
}
