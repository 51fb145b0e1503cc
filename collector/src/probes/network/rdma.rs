// SPDX-License-Identifier: Apache-2.0
//! What ports of RDMA devices (InfiniBand, RoCE, iWARP) counted.
//! Source: `/sys/class/infiniband/<device>/ports/<port>/{counters,hw_counters}`
//! (Documentation/ABI/stable/sysfs-class-infiniband).   Signals: the family `linux.rdma.*`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use semconv::{Field, Instrument, attribute, family};

use crate::hostfs::KeptFile;
use crate::probes::{Collect, CollectError, Devices, Fields, Filter, Probe, ProbeDef, Started};
use crate::signal::{Attribute, EntityRecorder, Recorder, UnixNanos, Value};

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "network.rdma",
    legacy_names: &["netdev_rdma_link"],
    start: |cx| {
        let root = cx.fs.rooted(Path::new("/sys/class/infiniband"));
        let fields = Fields::new(&family::RDMA, Filter::new("", ""));
        Started::from_files(Rdma {
            root,
            fields,
            counters: HashMap::new(),
            known: Devices::default(),
        })
    },
    decoder: None,
};

struct Rdma {
    root: PathBuf,
    fields: Fields,
    /// By what `key` gives.
    counters: HashMap<String, Counter>,
    /// What each told, by the same.
    known: Devices<1>,
}

/// Where counters lie. The driver's own come first: of a word that both have, the other is what
/// the port's management tells, which may have 8 bits and stop at 255.
const GROUPS: [&str; 2] = ["hw_counters", "counters"];

/// One file.
struct Counter {
    file: KeptFile,
    field: Field,
    device: Arc<str>,
    port: i64,
    seen: UnixNanos,
}

impl Probe for Rdma {
    /// Without RDMA devices there is nothing to tell.
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        for device in names(&self.root) {
            let ports = self.root.join(&device).join("ports");
            for port in names(&ports) {
                for group in GROUPS {
                    let folder = ports.join(&port).join(group);
                    self.look(&folder, &device, &port, cx.now);
                }
            }
        }
        self.counters.retain(|_, counter| counter.seen == cx.now);
        let mut host = out.host();
        for (key, counter) in &mut self.counters {
            let Some(value) = counter.read() else { continue };
            let [known] = self.known.see(key, [value], cx.now, cx.boot_time).counters;
            counter.record(value, known.start, &mut host);
        }
        self.known.end(cx.now);
        Ok(())
    }
}

impl Rdma {
    /// Learns which counters are there.
    fn look(&mut self, folder: &Path, device: &str, port: &str, now: UnixNanos) {
        let Ok(port) = port.parse() else { return };
        for word in names(folder) {
            let key = key(device, port, &word);
            if let Some(known) = self.counters.get_mut(&key) {
                known.seen = now;
                continue;
            }
            let Some(field) = self.fields.get(&word) else { continue };
            let (file, device) = (KeptFile::new(folder.join(&word)), device.into());
            self.counters.insert(key, Counter { file, field, device, port, seen: now });
        }
    }
}

/// What a port counts under one word.
fn key(device: &str, port: i64, word: &str) -> String {
    format!("{device}/{port}/{word}")
}

impl Counter {
    /// A counter that the driver does not have gives an error, and no point.
    fn read(&mut self) -> Option<u64> {
        self.file.read().ok()?.trim().parse().ok()
    }

    fn record(&self, value: u64, start: UnixNanos, out: &mut EntityRecorder<'_>) {
        let attributes: Vec<Attribute> = vec![
            (&attribute::LINUX_RDMA_DEVICE, Value::from(&self.device)),
            (&attribute::LINUX_RDMA_PORT, Value::Int(self.port)),
        ];
        let Field { metric, factor, .. } = self.field;
        if metric.instrument == Instrument::Gauge {
            out.gauge(metric, attributes, value as f64);
        } else {
            out.sum(metric, attributes, start, value.saturating_mul(factor.unsigned_abs()));
        }
    }
}

/// Names in a folder; none where it is not there.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::{Entities, Networks};
    use crate::hostfs::{Files, HostFs};

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join("sys/class/infiniband").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn each_port_counts_for_itself_and_is_forgotten_when_it_is_gone() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "mlx5_0/ports/1/counters/port_rcv_data", "1000\n");
        write(root.path(), "mlx5_0/ports/2/hw_counters/rnr_nak_retry_err", "7\n");
        write(root.path(), "mlx5_0/ports/2/counters/rnr_nak_retry_err", "255\n");
        write(root.path(), "mlx5_0/ports/2/hw_counters/absent", "N/A (no PMA)\n");
        let fs_of = HostFs::new(root.path());
        let entities = Entities::discover(&crate::config::Config::default(), &fs_of);
        let (mut files, mut networks) = (Files::new(&fs_of), Networks::new(&fs_of));
        let mut probe = Rdma {
            root: root.path().join("sys/class/infiniband"),
            fields: Fields::new(&family::RDMA, Filter::new("", "")),
            counters: HashMap::new(),
            known: Devices::default(),
        };
        let mut collect = |now| {
            let mut recorder = Recorder::new(entities.host());
            recorder.set_probe("network.rdma");
            let mut cx = Collect {
                files: &mut files,
                entities: &entities,
                networks: &mut networks,
                boot_time: 5,
                now,
            };
            probe.collect(&mut cx, &mut recorder).unwrap();
            let points = recorder.finish(now).entities.into_iter().flat_map(|e| e.points);
            let mut told: Vec<_> = points
                .map(|p| (p.metric.name, p.value.as_f64(), p.start, p.attributes[1].1.clone()))
                .collect();
            told.sort_by_key(|(name, ..)| *name);
            told
        };
        let (data, retries) = ("linux.rdma.port_rcv_data", "linux.rdma.rnr_nak_retry_err");
        let (one, two) = (Value::Int(1), Value::Int(2));
        let expected = [(data, 4000.0, 5, one.clone()), (retries, 7.0, 5, two)];
        assert_eq!(collect(10), expected);
        write(root.path(), "mlx5_0/ports/1/counters/port_rcv_data", "10\n");
        fs::remove_dir_all(root.path().join("sys/class/infiniband/mlx5_0/ports/2")).unwrap();
        assert_eq!(collect(20), [(data, 40.0, 10, one)]);
    }
}
