// SPDX-License-Identifier: Apache-2.0
//! CPU time of one collection over all probes on this host, and of encoding what it gave. As root,
//! so that all probes run.

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use huatuo_otel::collect::{Collector, Starter};
use huatuo_otel::config::Config;
use huatuo_otel::entity::Entities;
use huatuo_otel::export::otlp::encode::{MAX_REQUEST, metrics};
use huatuo_otel::hostfs::HostFs;
use huatuo_otel::kernel::KernelSupport;
use huatuo_otel::probes::PROBES;
use huatuo_otel::signal::Audience;
use huatuo_otel::status::Board;
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: u32 = 1000;

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn micros(mut work: impl FnMut()) -> f64 {
    work();
    let begin = cpu_time();
    for _ in 0..ROUNDS {
        work();
    }
    (cpu_time() - begin).as_nanos() as f64 / f64::from(ROUNDS) / 1000.0
}

fn collector(black_list: Vec<String>) -> (Collector, Arc<Entities>) {
    let config = Arc::new(Config { black_list, ..Config::default() });
    let fs = HostFs::new("/");
    let support = KernelSupport::gather(&fs);
    let entities = Arc::new(Entities::discover(&config, &fs));
    let board = Arc::new(Board::default());
    let starter = Starter { config, fs, support, board, events: None };
    (Collector::start(starter, Arc::clone(&entities)), entities)
}

fn main() {
    let (mut all, walker) = collector(Config::default().black_list);
    all.collect(Audience::Everyone);
    let snapshot = all.collect(Audience::Everyone);
    let series: usize = snapshot.entities.iter().map(|entity| entity.points.len()).sum();

    let collect = micros(|| drop(black_box(all.collect(Audience::Everyone))));
    let walk = micros(|| walker.refresh());
    let encode = micros(|| drop(black_box(metrics(black_box(&snapshot), &[], MAX_REQUEST))));
    drop(all);
    println!("| what | µs of CPU | per series |");
    println!("|---|---|---|");
    for (what, time) in [
        (format!("one collection of {series} series"), collect),
        ("of it, looking at the cgroups".to_owned(), walk),
        ("encoding it".to_owned(), encode),
        ("both".to_owned(), collect + encode),
    ] {
        println!("| {what} | {time:.0} | {:.2} |", time / series as f64);
    }
    println!("\n| probe alone | µs of CPU | series |\n|---|---|---|");
    for probe in PROBES {
        let others = PROBES.iter().filter(|other| other.name != probe.name);
        let (mut alone, _) = collector(others.map(|other| other.name.to_owned()).collect());
        let series = alone
            .collect(Audience::Everyone)
            .entities
            .iter()
            .map(|e| e.points.len())
            .sum::<usize>();
        let time = micros(|| drop(black_box(alone.collect(Audience::Everyone))));
        println!("| {} | {time:.0} | {series} |", probe.name);
    }
}
