// SPDX-License-Identifier: Apache-2.0
//! Everything the agent observes: [`PROBES`] is the table, each entry one file of the same name.

mod backoff;
pub mod block;
pub mod cpu;
mod decode;
mod devices;
mod durations;
mod fields;
mod filter;
pub mod gpu;
mod known_issues;
pub mod memory;
pub mod network;
mod per_container;
pub mod system;
mod whom;

use ebpf::event_loss::event_loss;
use thiserror::Error;

use crate::bpf::{
    HookVerdict, KernelTypes, LoadError, MapError, Object, Plan, ProgramStats, WalkError,
};
use crate::config::Config;
use crate::entity::{Entities, Networks};
use crate::hostfs::{Files, HostFs, ReadError};
use crate::kernel::{KernelSupport, RecordSource};
use crate::netlink::{NetlinkError, Subscription};
use crate::signal::{Recorder, UnixNanos};

pub use backoff::{Backoff, suppressed_before};
pub use decode::{Decode, DecodeContext, Malformed, Suppression, kernel_text, record};
pub use devices::{Counter, Devices};
pub use fields::{Fields, Words};
pub use filter::Filter;
pub use known_issues::KnownIssues;
pub use per_container::{ContainerFiles, PerContainer};
pub use whom::Whom;

/// All probes, in the order in which they are collected.
pub static PROBES: &[&ProbeDef] = &[
    &block::disk::PROBE,
    &block::latency::PROBE,
    &cpu::utilization::PROBE,
    &cpu::loadavg::PROBE,
    &cpu::cgroup::PROBE,
    &cpu::runqlat::PROBE,
    &cpu::softirq::PROBE,
    &gpu::metax::PROBE,
    &gpu::nvidia::PROBE,
    &memory::buddyinfo::PROBE,
    &memory::cgroup::PROBE,
    &memory::events::PROBE,
    &memory::meminfo::PROBE,
    &memory::oom::PROBE,
    &memory::reclaim::PROBE,
    &memory::stall::PROBE,
    &memory::vmstat::PROBE,
    &network::connections::PROBE,
    &network::dcb::PROBE,
    &network::dropwatch::PROBE,
    &network::hardware::PROBE,
    &network::lacp::PROBE,
    &network::link::PROBE,
    &network::neighbor::PROBE,
    &network::netdev::PROBE,
    &network::netstat::PROBE,
    &network::qdisc::PROBE,
    &network::rdma::PROBE,
    &network::receive_latency::PROBE,
    &network::sockstat::PROBE,
    &network::tcp_memory::PROBE,
    &network::transmit_timeout::PROBE,
    &system::hung_task::PROBE,
    &system::kernel::PROBE,
    &system::mounts::PROBE,
    &system::pressure::PROBE,
    &system::ras::PROBE,
    &system::softlockup::PROBE,
    &system::tasks::PROBE,
];

/// One subject that we observe.
pub struct ProbeDef {
    /// `area.subject`, also its path below `probes/`.
    pub name: &'static str,
    /// Words of HUATUO's `BlackList` that switch it off, beside its name.
    pub legacy_names: &'static [&'static str],
    /// Loads, attaches, opens.
    pub start: fn(&StartContext<'_>) -> Started,
    /// Makes events of its records, for probes with events.
    pub decoder: Option<MakeDecoder>,
}

impl ProbeDef {
    /// A word of HUATUO's for it is in `BlackList`.
    pub fn is_listed(&self, config: &Config) -> bool {
        self.legacy_names.iter().any(|word| config.is_listed(word))
    }
}

/// Makes what makes events.
pub type MakeDecoder = fn(&StartContext<'_>) -> Box<dyn Decode>;

/// What a probe may look at when it starts.
pub struct StartContext<'a> {
    /// The whole configuration; a probe reads its own section.
    pub config: &'a Config,
    /// Files of the host.
    pub fs: &'a HostFs,
    /// Facts about the kernel.
    pub support: &'a KernelSupport,
    /// Types of the running kernel.
    pub types: Option<&'a KernelTypes>,
}

/// What came of a start.
pub struct Started {
    /// The probe, or why it cannot run here.
    pub probe: Result<Box<dyn Probe>, StartError>,
    /// What became of its hooks; empty for probes that read files.
    pub hooks: Vec<HookVerdict>,
    /// Where the records of its events come from.
    pub events: Option<EventSource>,
    /// Its BPF programs.
    pub programs: Option<ProgramStats>,
}

/// How the events of one probe leave the kernel.
pub struct EventSource {
    /// Gives the records.
    pub source: Box<dyn RecordSource>,
    /// What did not become a record.
    pub losses: Losses,
    /// Makes events of the records, where it shares something with the probe; else
    /// [`ProbeDef::decoder`] gives one.
    pub decoder: Option<Box<dyn Decode>>,
}

/// Counts what was held back before it became a record.
pub type Losses = Box<dyn Fn() -> event_loss + Send>;

impl EventSource {
    /// The ring of a BPF object, by the names that `event.h` gives its maps.
    pub fn ring(object: &mut Object) -> Result<Self, LoadError> {
        let ring = object.ring("events")?;
        let losses = object.per_cpu_total::<event_loss>("losses")?;
        let losses = move || {
            let cpus = losses.values().unwrap_or_default();
            event_loss {
                rate_limited: cpus.iter().map(|cpu| cpu.rate_limited).sum(),
                ring_full: cpus.iter().map(|cpu| cpu.ring_full).sum(),
            }
        };
        Ok(Self { source: Box::new(ring), losses: Box::new(losses), decoder: None })
    }

    /// Messages of a netlink group.
    pub fn netlink(subscription: Subscription) -> Self {
        let lost = subscription.lost();
        let losses = move || event_loss { rate_limited: lost.thrown(), ring_full: lost.overrun() };
        Self { source: Box::new(subscription), losses: Box::new(losses), decoder: None }
    }

    /// Its events are made by a decoder that shares something with the probe.
    pub fn decoded_by(self, decoder: impl Decode + 'static) -> Self {
        Self { decoder: Some(Box::new(decoder)), ..self }
    }
}

/// Why a probe does not run.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its BPF object was refused.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A hook that it cannot do without is missing; the hook's verdict says why.
    #[error("{0} cannot be hooked")]
    Hook(&'static str),
    /// A file that it reads is not there.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no such hardware here.
    #[error("{0}")]
    Absent(String),
    /// The kernel does not stamp packets for us.
    #[error("ask for stamps of packets: {0}")]
    Stamps(std::io::Error),
    /// A library that it calls does not work.
    #[error("{0}")]
    Library(String),
    /// The kernel is built without it.
    #[error("{0}")]
    Lacks(&'static str),
    /// The host's settings turn it off.
    #[error("{0}")]
    SwitchedOff(String),
    /// The kernel's routing tables cannot be asked.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
}

/// What a probe may look at when it collects.
pub struct Collect<'a> {
    /// Files below `/proc`, each read once per collection.
    pub files: &'a mut Files,
    /// Whose is it?
    pub entities: &'a Entities,
    /// Network namespaces, looked at once per collection.
    pub networks: &'a mut Networks,
    /// When the machine booted: the start of the kernel's own counters.
    pub boot_time: UnixNanos,
    /// Now.
    pub now: UnixNanos,
}

/// Why a probe had nothing to say this time.
#[derive(Debug, Error)]
pub enum CollectError {
    /// A file could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A BPF map could not be read.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The kernel did not answer.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// A BPF iterator could not be run.
    #[error(transparent)]
    Walk(#[from] WalkError),
}

/// A running probe.
pub trait Probe: Send {
    /// Records what it measures. What was recorded before an error counts.
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError>;
}

impl Started {
    /// A probe that reads files only.
    pub fn from_files(probe: impl Probe + 'static) -> Self {
        Self { probe: Ok(Box::new(probe)), hooks: Vec::new(), events: None, programs: None }
    }

    /// A probe without a BPF object that may not be able to run here.
    pub fn from_result(probe: Result<impl Probe + 'static, StartError>) -> Self {
        Self::from_built(probe.map(|probe| Built { probe: Box::new(probe), events: None }))
    }

    /// A probe whose events are not those of a BPF object.
    pub fn from_built(built: Result<Built, StartError>) -> Self {
        match built {
            Ok(Built { probe, events }) => {
                Self { probe: Ok(probe), hooks: Vec::new(), events, programs: None }
            }
            Err(error) => Self::failed(error, Vec::new()),
        }
    }

    /// A probe with a BPF object: `build` makes it from the loaded object. Where a required hook is
    /// missing nothing runs.
    pub fn from_object(
        cx: &StartContext<'_>,
        plan: &Plan,
        build: impl FnOnce(Object) -> Result<Built, LoadError>,
    ) -> Self {
        let object = match Object::load(plan, cx.support, cx.types) {
            Ok(object) => object,
            Err(error) => return Self::failed(error.into(), Vec::new()),
        };
        let hooks = object.hooks.clone();
        if let Some(missing) = hooks.iter().find(|hook| hook.is_missing()) {
            return Self::failed(StartError::Hook(missing.hook), hooks);
        }
        let programs = object.stats();
        match build(object) {
            Ok(Built { probe, events }) => {
                Self { probe: Ok(probe), hooks, events, programs: Some(programs) }
            }
            Err(error) => Self::failed(error.into(), hooks),
        }
    }

    /// A probe that cannot run.
    pub fn failed(error: StartError, hooks: Vec<HookVerdict>) -> Self {
        Self { probe: Err(error), hooks, events: None, programs: None }
    }
}

/// A probe that could start, with its events.
pub struct Built {
    /// The probe.
    pub probe: Box<dyn Probe>,
    /// Where the records of its events come from.
    pub events: Option<EventSource>,
}

/// What tests of decoders have in common.
#[cfg(test)]
pub(crate) mod tests {
    pub(crate) use super::decode::tests::decode;
}
