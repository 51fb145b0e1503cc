// SPDX-License-Identifier: Apache-2.0
//! Files of a container's cgroup, with NULs between, through the probes that read them: each has
//! small parsers of its own.
#![no_main]

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use huatuo_otel::collect::{Collector, Starter};
use huatuo_otel::config::Config;
use huatuo_otel::entity::Entities;
use huatuo_otel::hostfs::HostFs;
use huatuo_otel::kernel::KernelSupport;
use huatuo_otel::probes::PROBES;
use huatuo_otel::signal::Audience;
use huatuo_otel::status::Board;
use libfuzzer_sys::fuzz_target;

#[path = "../files_of_a_container.rs"]
mod files_of_a_container;
use files_of_a_container::FILES;

/// Stands in for the machine.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/container_files");
/// The only probes that run.
const OURS: [&str; 4] = ["cpu.cgroup", "memory.cgroup", "memory.events", "system.pressure"];

thread_local! {
    static COLLECTOR: RefCell<Collector> = RefCell::new(collector());
}

fuzz_target!(
    init: {
        fs::create_dir_all(folder()).unwrap();
    },
    |text: &str| {
        let folder = folder();
        let mut parts = text.split('\0');
        for name in FILES {
            fs::write(folder.join(name), parts.next().unwrap_or_default()).unwrap();
        }
        COLLECTOR.with_borrow_mut(|collector| collector.collect(Audience::Everyone));
    }
);

fn folder() -> PathBuf {
    Path::new(ROOT).join("sys/fs/cgroup/docker").join("ab".repeat(32))
}

fn collector() -> Collector {
    let root = Path::new(ROOT);
    fs::create_dir_all(root.join("proc/self")).unwrap();
    fs::write(root.join("proc/self/mounts"), "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n").unwrap();
    fs::write(root.join("proc/stat"), "cpu  1 2 3 4\ncpu0 1 2 3 4\nbtime 1\n").unwrap();
    let turned_off = PROBES.iter().map(|def| def.name).filter(|name| !OURS.contains(name));
    let config =
        Config { black_list: turned_off.map(str::to_owned).collect(), ..Config::default() };
    let (config, fs) = (Arc::new(config), HostFs::new(root));
    let support = KernelSupport::gather(&fs);
    let entities = Arc::new(Entities::discover(&config, &fs));
    assert_eq!(entities.containers().len(), 1);
    let board = Arc::new(Board::default());
    Collector::start(Starter { config, fs, support, board, events: None }, entities)
}
