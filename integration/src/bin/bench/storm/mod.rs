// SPDX-License-Identifier: Apache-2.0
//! A flood of events of one kind: what it costs, what becomes of them, and that others still come
//! through.

pub mod strikes;

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, ensure};
use integration::{Agent, Cgroup, Collector, Network, Point, Received, Watch, free_port};
use semconv::{EventDef, event};

use super::cost::{cpu, resident};
use super::{Figure, at, figure, is_chosen, sorted};
use strikes::Strike;

const DURATION: Duration = Duration::from_secs(10);
/// Strikes per millisecond.
const RATE: u64 = 100;

struct Storm {
    event: &'static EventDef,
    /// Of the agent.
    config: &'static str,
    begin: fn(&Agent) -> Result<Strike>,
}

const STORMS: [Storm; 10] = [
    Storm { event: &event::LINUX_NETWORK_PACKET_DROPPED, config: "", begin: strikes::drop_packet },
    Storm {
        event: &event::LINUX_NETWORK_RECEIVE_DELAYED,
        config: "[EventTracing.NetRxLatency]\nDriver2Userspace = 1\n\
                 ExcludedHostNetnamespace = false\n",
        begin: strikes::read_late,
    },
    Storm {
        event: &event::LINUX_SOFTIRQ_DISABLED,
        config: "[EventTracing.Softirq]\nDisabledThreshold = 1\n",
        begin: strikes::raise_softirq,
    },
    Storm {
        event: &event::LINUX_NETWORK_INTERFACE_STATE_CHANGED,
        config: strikes::LISTED,
        begin: strikes::change_link,
    },
    Storm {
        event: &event::LINUX_MEMORY_DIRECT_RECLAIM_STALL,
        config: "[EventTracing.MemoryReclaim]\nBlockedThreshold = 1\n",
        begin: strikes::reclaim,
    },
    Storm { event: &event::LINUX_MEMORY_OOM_KILL, config: "", begin: strikes::kill },
    Storm { event: &event::LINUX_KERNEL_HUNG_TASK, config: "", begin: strikes::find_hung_task },
    Storm { event: &event::LINUX_KERNEL_SOFTLOCKUP, config: "", begin: strikes::find_soft_lockup },
    Storm { event: &event::LINUX_RAS_ERROR, config: "", begin: strikes::report_aer },
    Storm {
        event: &event::LINUX_NETWORK_TRANSMIT_QUEUE_TIMEOUT,
        config: "",
        begin: strikes::time_out,
    },
];

/// 100,000 events a second of each kind, or as many as the kernel lets us make, beside others.
pub fn storms() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for storm in STORMS.iter().filter(|storm| is_chosen(storm.event)) {
        let network = Network::new("storm")?;
        match network.run(|| storm.measure()) {
            Ok(more) => figures.extend(more),
            Err(error) => figures.push(figure(
                format!("storm of {}", storm.event.name),
                format!("not measured: {error:#}"),
                "",
            )),
        }
    }
    Ok(figures)
}

/// Strikes until `is_over`; how often.
fn rage(strike: &mut Strike, is_over: &AtomicBool) -> Result<u64> {
    let (begin, mut struck) = (Instant::now(), 0);
    while !is_over.load(Ordering::Relaxed) {
        let due = begin.elapsed().as_micros() as u64 * RATE / 1000;
        while struck < due && !is_over.load(Ordering::Relaxed) {
            strike()?;
            struck += 1;
        }
        sleep(Duration::from_micros(500));
    }
    Ok(struck)
}

/// An event of another kind, now and then.
enum Witness {
    OomKill(Cgroup),
    /// A connection to a port that is closed.
    Drop,
}

impl Witness {
    fn of(storm: &Storm) -> Result<Self> {
        if storm.event.name == event::LINUX_MEMORY_OOM_KILL.name {
            return Ok(Self::Drop);
        }
        Ok(Self::OomKill(Cgroup::new("huatuo-bench")?))
    }

    fn filter(&self) -> &'static str {
        match self {
            Self::OomKill(_) => r#"{"filters":{"tracer_name":"oom"}}"#,
            Self::Drop => r#"{"filters":{"tracer_name":"dropwatch"}}"#,
        }
    }

    fn happen(&self) -> Result<()> {
        match self {
            Self::OomKill(cgroup) => cgroup.kill_one().map(drop),
            Self::Drop => {
                let connected = TcpStream::connect(("127.0.0.1", free_port()?));
                ensure!(connected.is_err(), "somebody listens");
                Ok(())
            }
        }
    }

    /// Milliseconds from the start of each to the subscriber, one a second.
    fn delays(&self, watch: &Watch) -> Result<Vec<f64>> {
        let (mut delays, begin) = (Vec::new(), Instant::now());
        while begin.elapsed() < DURATION {
            let start = SystemTime::now();
            self.happen()?;
            let came = loop {
                // What came between two belongs to the storm.
                let (came, _) = watch.next()?;
                if let Ok(delay) = came.duration_since(start) {
                    break delay;
                }
            };
            delays.push(came.as_secs_f64() * 1000.0);
            sleep(Duration::from_secs(1));
        }
        Ok(delays)
    }
}

impl Storm {
    fn measure(&self) -> Result<Vec<Figure>> {
        let collector = Collector::start(None)?;
        let otlp = format!("[Otlp]\nEndpoint = \"http://127.0.0.1:{}\"\n", collector.grpc);
        let agent = Agent::with(&format!("{otlp}{}", self.config)).start()?;
        let witness = Witness::of(self)?;
        let watch = Watch::subscribe(&agent, witness.filter())?;
        let mut strike = (self.begin)(&agent)?;
        sleep(Duration::from_secs(2));
        let memory_before = resident(agent.pid())?;
        let is_over = AtomicBool::new(false);
        let (before, begin) = (cpu(agent.pid())?, Instant::now());
        let (struck, delays) = scope(|threads| {
            let striker = threads.spawn(|| rage(&mut strike, &is_over));
            let delays = witness.delays(&watch);
            is_over.store(true, Ordering::Relaxed);
            let struck = striker.join().map_err(|_| anyhow!("the storm panicked"))?;
            Ok::<_, anyhow::Error>((struck?, delays?))
        })?;
        let seconds = begin.elapsed().as_secs_f64();
        let share = (cpu(agent.pid())? - before) / seconds * 100.0;
        let memory = resident(agent.pid())?;
        drop(strike);
        let rate = struck as f64 / seconds;
        let worst = at(&sorted(delays), 1.0);
        let fate = self.fate(&collector)?;
        let name = self.event.legacy.tracer;
        Ok(vec![
            figure(
                format!("CPU of the agent during {rate:.0} of {name} a second"),
                format!("{share:.1} % of a core"),
                "≤ 20 %",
            ),
            figure(
                "RSS before and after it",
                format!("{memory_before:.1}, {memory:.1} MiB"),
                "bounded",
            ),
            figure(format!("what became of {struck}"), fate, ""),
            figure("another event to SSE subscriber meanwhile", format!("{worst:.0} ms"), "≤ 1 s"),
        ])
    }

    /// What was told, and what the agent says that it held back.
    fn fate(&self, collector: &Collector) -> Result<String> {
        let now = integration::unix_now();
        collector
            .until(|got| {
                let pushed = got.last("huatuo.bpf.events.lost")?.time;
                ensure!(pushed > now, "nothing was pushed since");
                let of = |record: &&integration::Record| record.event_name == self.event.name;
                let mut fate = format!("{} told", got.records.iter().filter(of).count());
                for why in ["rate_limited", "ring_full", "queue_full", "decode_failed"] {
                    let keys =
                        [("huatuo.probe.name", self.event.probe), ("huatuo.loss.reason", why)];
                    let lost = newest(got, "huatuo.bpf.events.lost", keys);
                    append(&mut fate, lost, why);
                }
                let keys = [
                    ("huatuo.event.name", self.event.name),
                    ("huatuo.suppression.reason", "backoff"),
                ];
                append(&mut fate, newest(got, "huatuo.event.suppressed", keys), "backoff");
                Ok(fate)
            })
            .context("the agent's own telemetry")
    }
}

fn append(fate: &mut String, count: f64, why: &str) {
    if count > 0.0 {
        *fate += &format!(", {count} {why}");
    }
}

/// The newest value of a metric with these attributes.
fn newest(got: &Received, name: &str, keys: [(&str, &str); 2]) -> f64 {
    let is_it = |point: &&&Point| {
        keys.iter().all(|(key, value)| point.attributes.get(*key).is_some_and(|v| v == value))
    };
    got.of(name).iter().rfind(is_it).map_or(0.0, |point| point.value)
}
