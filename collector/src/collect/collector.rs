// SPDX-License-Identifier: Apache-2.0
//! One collection over all probes. A probe that panics is stopped and started anew later; the
//! others go on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use semconv::{family, metric};

use super::starter::{Running, Starter};
use super::{Costs, Lost, ProgramCost};
use crate::bpf::StatsSwitch;
use crate::entity::{Entities, Networks};
use crate::hostfs::{Files, parse};
use crate::kernel::unix_now;
use crate::probes::{Collect, PROBES};
use crate::signal::{Audience, Recorder, Sizes, Snapshot, UnixNanos};
use crate::telemetry::CollectionMeter;

/// Wait before a probe that panicked is started anew; doubles with each further panic.
const FIRST_RESTART: Duration = Duration::from_secs(10);
/// The longest such wait.
const LAST_RESTART: Duration = Duration::from_secs(3600);

/// All probes, and what they share.
pub struct Collector {
    starter: Starter,
    /// Entry `i` is `PROBES[i]`.
    slots: Vec<Slot>,
    files: Files,
    networks: Networks,
    entities: Arc<Entities>,
    boot_time: UnixNanos,
    meter: CollectionMeter,
    series: u64,
    sizes: Arc<Sizes>,
    _statistics: Option<StatsSwitch>,
}

#[derive(Default)]
struct Slot {
    /// The legacy page shows nothing of it.
    is_only_pushed: bool,
    running: Option<Running>,
    /// Its last collection failed, and the board has why.
    is_in_trouble: bool,
    /// When to start it anew.
    restart: Option<Instant>,
    restarts: u64,
    /// Losses of the runs before this one.
    lost: Lost,
}

impl Collector {
    /// Starts all probes.
    pub fn start(starter: Starter, entities: Arc<Entities>) -> Self {
        let slots = PROBES.iter().zip(starter.start_all()).map(|(def, running)| Slot {
            running,
            is_only_pushed: is_only_pushed(def.name),
            ..Slot::default()
        });
        Self {
            slots: slots.collect(),
            files: Files::new(&starter.fs),
            networks: Networks::new(&starter.fs),
            boot_time: boot_time(&starter),
            _statistics: starter.statistics(),
            starter,
            entities,
            meter: CollectionMeter::new(),
            series: 0,
            sizes: Arc::default(),
        }
    }

    /// Asks every probe.
    pub fn collect(&mut self, audience: Audience) -> Snapshot {
        let _span = tracing::info_span!("collect").entered();
        let begin = Instant::now();
        self.files.begin_collection();
        if let Some(events) = &self.starter.events {
            events.tidy();
        }
        self.entities.refresh();
        let mut recorder =
            Recorder::for_audience(self.entities.host(), Arc::clone(&self.sizes), audience);
        let now = unix_now();
        for index in 0..self.slots.len() {
            self.revive(index, begin);
            if !self.slots[index].is_only_pushed || recorder.admits_what_is_only_pushed() {
                self.ask(index, now, &mut recorder);
            }
        }
        self.series = recorder.len() as u64;
        self.meter.collected(begin.elapsed(), self.series);
        let snapshot = recorder.finish(unix_now());
        self.sizes = Arc::new(snapshot.sizes());
        snapshot
    }

    fn ask(&mut self, index: usize, now: UnixNanos, recorder: &mut Recorder) {
        let slot = &mut self.slots[index];
        let Some(running) = &mut slot.running else { return };
        let name = PROBES[index].name;
        let begin = Instant::now();
        recorder.set_probe(name);
        let mut cx = Collect {
            files: &mut self.files,
            entities: &self.entities,
            networks: &mut self.networks,
            boot_time: self.boot_time,
            now,
        };
        let probe = &mut running.probe;
        let outcome = catch_unwind(AssertUnwindSafe(|| probe.collect(&mut cx, recorder)));
        self.meter.probe_collected(name, begin.elapsed());
        let error = match &outcome {
            Ok(Ok(())) => String::new(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "panicked; it is started anew later".to_owned(),
        };
        if slot.is_in_trouble || !error.is_empty() {
            slot.is_in_trouble = !error.is_empty();
            self.starter.board.set_last_error(name, &error);
        }
        if outcome.is_err() {
            slot.bury(begin);
        }
    }

    fn revive(&mut self, index: usize, now: Instant) {
        let slot = &mut self.slots[index];
        if slot.restart.is_some_and(|at| at <= now) {
            slot.restart = None;
            slot.restarts += 1;
            slot.running = self.starter.restart(index, slot.restarts);
        }
    }

    /// Detaches everything: from here on nothing new happens.
    pub fn stop(&mut self) {
        for slot in &mut self.slots {
            *slot = Slot { lost: slot.lost_so_far(), ..Slot::default() };
        }
        self.starter.events = None;
    }

    /// What the probes cost and lost so far.
    pub fn costs(&self) -> Costs {
        let running = self.slots.iter().filter_map(|slot| slot.running.as_ref());
        let stats = running.filter_map(|running| running.programs.as_ref());
        // A program that seems not to have run was not counted, or has nothing to tell.
        let counted = stats.flat_map(|stats| stats.read()).filter(|(_, stats)| stats.count > 0);
        let programs = counted.map(|(name, stats)| ProgramCost {
            program: name.to_owned(),
            seconds: stats.time_ns as f64 / 1e9,
            runs: stats.count,
        });
        let lost = PROBES.iter().zip(&self.slots).filter(|(def, _)| def.decoder.is_some());
        let lost = lost.map(|(def, slot)| Lost { probe: def.name, ..slot.lost_so_far() });
        Costs { programs: programs.collect(), lost: lost.collect(), series: self.series }
    }
}

impl Slot {
    /// Stops the probe after a panic.
    fn bury(&mut self, now: Instant) {
        self.lost = self.lost_so_far();
        self.running = None;
        let doubled = FIRST_RESTART * 2u32.pow(self.restarts.min(16) as u32);
        self.restart = Some(now + doubled.min(LAST_RESTART));
    }

    fn lost_so_far(&self) -> Lost {
        let mut lost = self.lost;
        let Some(events) = self.running.as_ref().and_then(|run| run.events.as_ref()) else {
            return lost;
        };
        let held_back = (events.losses)();
        lost.rate_limited += held_back.rate_limited;
        lost.ring_full += held_back.ring_full;
        lost.queue_full += events.feed.dropped();
        lost.malformed += events.feed.malformed();
        lost
    }
}

/// A probe that measures something, and nothing that the legacy page shows.
fn is_only_pushed(probe: &str) -> bool {
    let mut metrics = metric::ALL.iter().filter(|metric| metric.probe == probe).peekable();
    let has_words = family::ALL.iter().any(|family| family.probe == probe);
    metrics.peek().is_some() && !has_words && metrics.all(|metric| metric.legacy.is_empty())
}

/// When the machine booted (`btime` of `/proc/stat`), read once: a later step of the wall clock
/// must not move the start of counters.
fn boot_time(starter: &Starter) -> UnixNanos {
    let seconds = starter.fs.read_proc("stat").ok().and_then(|text| parse::field(&text, "btime"));
    seconds.map_or_else(unix_now, |seconds| seconds.saturating_mul(1_000_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_that_the_page_shows_nothing_of_are_only_pushed() {
        let found: Vec<&str> = PROBES.iter().map(|def| def.name).collect();
        assert!(found.contains(&"network.connections") && is_only_pushed("network.connections"));
        // Words of the kernel, some metrics, and none at all.
        for probe in ["memory.cgroup", "system.tasks", "network.receive_latency"] {
            assert!(found.contains(&probe) && !is_only_pushed(probe), "{probe}");
        }
    }

    #[test]
    fn a_probe_that_panics_waits_longer_each_time_and_keeps_its_losses() {
        let now = Instant::now();
        let lost = Lost { rate_limited: 1, queue_full: 3, ..Lost::default() };
        let mut slot = Slot { lost, ..Slot::default() };
        let mut waits = Vec::new();
        for restarts in [0, 1, 2, 20] {
            slot.restarts = restarts;
            slot.bury(now);
            waits.push(slot.restart.unwrap() - now);
        }
        let seconds: Vec<u64> = waits.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [10, 20, 40, 3600]);
        assert_eq!(slot.lost_so_far(), lost);
    }
}
