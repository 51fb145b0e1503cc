// SPDX-License-Identifier: Apache-2.0
//! From the kernel to the consumer.

mod provoke;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};
use integration::{Agent, Collector, Network, Record, Watch};

use super::{Figure, at, figure, is_chosen, sorted};
use provoke::{PROVOCATIONS, Provocation, Provoke};

const PAUSE: Duration = Duration::from_millis(200);
/// No longer for one agent, where an event takes its time.
const LONGEST: Duration = Duration::from_secs(90);

pub fn start() -> Result<Vec<Figure>> {
    let mut times = Vec::new();
    for _ in 0..10 {
        let begin = SystemTime::now();
        let agent = Agent::with("").start()?;
        agent.get("metrics")?;
        times.push(begin.elapsed()?.as_secs_f64() * 1000.0);
    }
    let times = sorted(times);
    let value = format!("{:.0} ms (median of 10; worst {:.0})", at(&times, 0.5), at(&times, 1.0));
    Ok(vec![figure("start of the process to its first metric", value, "≤ 300 ms")])
}

/// Each event that can be made to happen here, from then to its consumers.
pub fn events() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for provocation in PROVOCATIONS.iter().filter(|known| is_chosen(known.event)) {
        let name = provocation.event.name;
        match provocation.measure() {
            Ok(Delays { to_watch, to_collector }) => {
                let what = format!("{name} to SSE subscriber");
                figures.push(figure(what, shown(to_watch), "p99 ≤ 50 ms"));
                let what = format!("{name} to the Collector's file");
                figures.push(figure(what, shown(to_collector), "p99 ≤ 300 ms"));
            }
            Err(error) => figures.push(figure(name, format!("not measured: {error:#}"), "")),
        }
    }
    Ok(figures)
}

fn shown(delays: Vec<f64>) -> String {
    let delays = sorted(delays);
    let (p50, p99) = (at(&delays, 0.5), at(&delays, 0.99));
    format!("p50 {p50:.1} ms, p99 {p99:.1} ms of {}", delays.len())
}

/// In ms.
#[derive(Default)]
struct Delays {
    to_watch: Vec<f64>,
    to_collector: Vec<f64>,
}

/// Records, and when each was seen first.
type Arrivals = Vec<(SystemTime, Record)>;

impl Provocation {
    fn measure(&self) -> Result<Delays> {
        let mut delays = Delays::default();
        for _ in 0..self.agents {
            let network = Network::new("latency")?;
            network.run(|| self.measure_one(&mut delays))?;
        }
        ensure!(!delays.to_collector.is_empty(), "none came");
        Ok(delays)
    }

    /// With one agent.
    fn measure_one(&self, delays: &mut Delays) -> Result<()> {
        let collector = Collector::start(None)?;
        let otlp = format!("[Otlp]\nEndpoint = \"http://127.0.0.1:{}\"\n", collector.grpc);
        let agent = Agent::with(&format!("{otlp}{}", self.config)).start()?;
        let watch = Watch::subscribe(&agent, "{}")?;
        let mut provoke = (self.begin)(&agent)?;
        // What was there before has come.
        sleep(Duration::from_secs(1));
        let begin = SystemTime::now();
        let is_over = AtomicBool::new(false);
        let (starts, arrivals) = scope(|threads| {
            let watcher = threads.spawn(|| arrivals(&collector, &is_over));
            let starts = self.provoke(&mut provoke);
            sleep(Duration::from_secs(1));
            is_over.store(true, Ordering::Relaxed);
            let arrivals = watcher.join().map_err(|_| anyhow!("the watcher panicked"))?;
            Ok::<_, anyhow::Error>((starts?, arrivals?))
        })?;
        let streamed: HashMap<String, SystemTime> = watch
            .waiting()
            .into_iter()
            .filter_map(|(at, event)| Some((event["id"].as_str()?.to_owned(), at)))
            .collect();
        let recorded = |record: &Record| UNIX_EPOCH + Duration::from_nanos(record.time);
        let is_it = |(_, record): &&(SystemTime, Record)| {
            record.event_name == self.event.name && recorded(record) > begin
        };
        let arrivals: Vec<_> = arrivals.iter().filter(is_it).collect();
        ensure!(
            starts.is_empty() || starts.len() == arrivals.len(),
            "{} came of {}",
            arrivals.len(),
            starts.len()
        );
        for (number, (seen, record)) in arrivals.into_iter().enumerate() {
            let start = starts.get(number).copied().unwrap_or_else(|| recorded(record));
            let streamed = streamed.get(&record.attributes["log.record.uid"]);
            let streamed = streamed.context("a record that was not streamed")?;
            delays.to_watch.push(milliseconds(start, *streamed)?);
            delays.to_collector.push(milliseconds(start, *seen)?);
        }
        Ok(())
    }

    /// When each was provoked; empty where their records tell that.
    fn provoke(&self, provoke: &mut Provoke) -> Result<Vec<SystemTime>> {
        let (mut starts, begin) = (Vec::new(), Instant::now());
        for _ in 0..self.rounds {
            starts.extend(provoke()?);
            sleep(PAUSE);
            if begin.elapsed() > LONGEST {
                break;
            }
        }
        Ok(starts)
    }
}

fn milliseconds(from: SystemTime, to: SystemTime) -> Result<f64> {
    Ok(to.duration_since(from)?.as_secs_f64() * 1000.0)
}

/// What comes to the Collector until it is over.
fn arrivals(collector: &Collector, is_over: &AtomicBool) -> Result<Arrivals> {
    let mut arrivals = Arrivals::new();
    while !is_over.load(Ordering::Relaxed) {
        let known = arrivals.len();
        let new = collector.until(|got| Ok(got.records[known..].to_vec()))?;
        let now = SystemTime::now();
        arrivals.extend(new.into_iter().map(|record| (now, record)));
        sleep(Duration::from_millis(5));
    }
    Ok(arrivals)
}
