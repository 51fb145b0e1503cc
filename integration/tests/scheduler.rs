// SPDX-License-Identifier: Apache-2.0
//! Waits on the run queue against what the kernel's scheduler counts itself.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests tell what they measured")]

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use integration::lab::is_elsewhere;
use integration::{Agent, Collector, Point, proc, unix_now};

const WAITS: &str = "linux.cpu.runqueue.wait.duration";

/// The first snapshot that is younger than this time.
fn younger(collector: &Collector, than: u64) -> Point {
    let is_younger = |point: &&&Point| point.time > than;
    let found = collector.until(|got| {
        let points = got.of(WAITS);
        points.iter().find(is_younger).map(|point| (**point).clone()).context("no snapshot")
    });
    found.unwrap()
}

/// An agent that takes one snapshot at its start and one at its end, and the first.
fn watching(collector: &Collector) -> (Agent, Point) {
    let endpoint = format!("http://127.0.0.1:{}", collector.grpc);
    let config = format!("[Otlp]\nEndpoint = \"{endpoint}\"\nInterval = 3600\n");
    let begin = unix_now();
    let agent = Agent::with(&config).start().unwrap();
    (agent, younger(collector, begin))
}

/// The snapshot at the end.
fn at_end(mut agent: Agent, collector: &Collector, first: &Point) -> Point {
    agent.terminate().unwrap();
    younger(collector, first.time)
}

/// What was waited between two snapshots: nanoseconds, and how often.
fn difference(first: &Point, last: &Point) -> [f64; 2] {
    [(last.sum - first.sum) * 1e9, (last.count - first.count) as f64]
}

/// Twice as many busy tasks as CPUs, so that there is something to wait for.
fn busy<T: Send>(seconds: u64, end: impl Fn() -> T + Sync) -> Vec<T> {
    let cpus = std::thread::available_parallelism().unwrap().get();
    let work = || {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(seconds) {
            std::hint::black_box(0u64);
        }
        end()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2 * cpus).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// What a task has waited, in ns, and how often it got a CPU (Documentation/scheduler/
/// sched-stats.rst, `/proc/<pid>/schedstat`).
fn waits(schedstat: &str) -> Option<[f64; 2]> {
    let mut columns = schedstat.split_whitespace().skip(1).map(str::parse);
    Some([columns.next()?.ok()?, columns.next()?.ok()?])
}

/// Of every task that there is.
fn waits_of_all() -> BTreeMap<String, [f64; 2]> {
    let mut all = BTreeMap::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(tasks) = fs::read_dir(process.path().join("task")) else { continue };
        for task in tasks.flatten() {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            if let Some(found) = waits(&text) {
                all.insert(task.path().display().to_string(), found);
            }
        }
    }
    all
}

/// Tasks that were made since boot.
fn made() -> u64 {
    integration::number(&proc("stat").unwrap(), "processes").unwrap()
}

/// Of three seconds what tasks say themselves, what we say, and whether all tasks are known: of one
/// that came and went nobody can tell any more what it has waited.
fn three_seconds(collector: &Collector) -> ([f64; 2], [f64; 2], bool) {
    let (agent, first) = watching(collector);
    let (made_before, before) = (made(), waits_of_all());
    let ended = busy(3, || waits(&proc("thread-self/schedstat").unwrap()).unwrap());
    let after = waits_of_all();
    let new = after.keys().filter(|task| !before.contains_key(*task)).count() + ended.len();
    let are_known =
        before.keys().all(|task| after.contains_key(task)) && made() == made_before + new as u64;
    let then = |task: &String| before.get(task).copied().unwrap_or_default();
    let spent = after.iter().map(|(task, now)| [now[0] - then(task)[0], now[1] - then(task)[1]]);
    let theirs = spent.chain(ended).fold([0.0, 0.0], |all, one| [all[0] + one[0], all[1] + one[1]]);
    let last = at_end(agent, collector, &first);
    (theirs, difference(&first, &last), are_known)
}

/// Not every kernel has the counts of its CPUs (CONFIG_SCHEDSTATS).
fn has_counts_of_cpus() -> bool {
    fs::exists("/proc/schedstat").unwrap()
}

#[test]
fn waits_on_the_run_queue_add_up_to_those_of_tasks() {
    if has_counts_of_cpus() {
        println!("not here: the kernel has the counts of its CPUs, which the next test takes");
        return;
    }
    let collector = Collector::start(None).unwrap();
    for _ in 0..3 {
        let (theirs, ours, are_known) = three_seconds(&collector);
        println!("waits: kernel {theirs:?}, ours {ours:?}, all tasks are known: {are_known}");
        // The windows differ by what happens before the first and after the last reading.
        for (theirs, ours, tolerance) in [(theirs[0], ours[0], 0.05), (theirs[1], ours[1], 0.1)] {
            assert!(ours / theirs > 1.0 - tolerance, "ours {ours}, the kernel's {theirs}");
            let is_more = ours / theirs > 1.0 + tolerance;
            assert!(!(are_known && is_more), "ours {ours}, the kernel's {theirs}");
        }
        if are_known {
            return;
        }
    }
    println!("not held from above: tasks came and went in each of three tries");
}

/// The same of all CPUs: the eighth and the ninth number behind `cpu<n>` in `/proc/schedstat`.
fn waits_of_cpus() -> Result<[f64; 2]> {
    let mut all = [0.0, 0.0];
    for line in proc("schedstat")?.lines().filter(|line| line.starts_with("cpu")) {
        let columns: Vec<f64> = line
            .split(' ')
            .skip(1)
            .map(str::parse)
            .collect::<Result<_, _>>()
            .context("schedstat")?;
        all[0] += columns[7];
        all[1] += columns[8];
    }
    Ok(all)
}

/// What the kernel said at a time.
struct Sample {
    begin: u64,
    end: u64,
    waits: [f64; 2],
}

/// Does `work`, and asks the kernel meanwhile and once more.
fn sampled<T>(work: impl FnOnce() -> T) -> (T, Vec<Sample>) {
    let is_done = AtomicBool::new(false);
    let sample = || {
        let (begin, waits) = (unix_now(), waits_of_cpus().unwrap());
        Sample { begin, end: unix_now(), waits }
    };
    std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut samples = vec![sample()];
            while !is_done.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(50));
                samples.push(sample());
            }
            samples
        });
        let done = work();
        is_done.store(true, Ordering::Relaxed);
        (done, sampler.join().unwrap())
    })
}

#[test]
fn waits_on_the_run_queue_add_up_to_those_of_cpus() {
    if !has_counts_of_cpus() && is_elsewhere("scheduler", "/proc/schedstat") {
        return;
    }
    // The time of a snapshot is its end; it was taken within this time before.
    let taking = u64::from(integration::slowness()) * 300_000_000;
    let collector = Collector::start(None).unwrap();
    let ((first, last), samples) = sampled(|| {
        // So that there is a sample before the first snapshot is taken.
        std::thread::sleep(Duration::from_nanos(taking));
        let (agent, first) = watching(&collector);
        busy(15, || ());
        let last = at_end(agent, &collector, &first);
        (first, last)
    });
    let before = |time| samples.iter().rfind(|sample| sample.end <= time).unwrap().waits;
    let after = |time| samples.iter().find(|sample| sample.begin >= time).unwrap().waits;
    let [inner, inner_end] = [after(first.time), before(last.time - taking)];
    let [outer, outer_end] = [before(first.time - taking), after(last.time)];
    let ours = difference(&first, &last);
    for (at, what) in ["nanoseconds", "waits"].into_iter().enumerate() {
        let (least, most) = (inner_end[at] - inner[at], outer_end[at] - outer[at]);
        println!("schedstat: {what}: between {least} and {most}, ours {}", ours[at]);
        // A wait that has not ended is not counted yet, and a part of one may be missed.
        let is_between = least * 0.98 <= ours[at] && ours[at] <= most * 1.02;
        assert!(is_between, "{what}: {} is not between {least} and {most}", ours[at]);
    }
}
