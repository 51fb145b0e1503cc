// SPDX-License-Identifier: Apache-2.0
//! Starts probes, at first and after a panic, and says what became of them.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::bpf::{HookState, HookVerdict, KernelTypes, ProgramStats, StatsSwitch};
use crate::config::Config;
use crate::events::{Events, Feed};
use crate::hostfs::{HostFs, ReadError};
use crate::kernel::KernelSupport;
use crate::probes::{
    EventSource, Losses, PROBES, Probe, ProbeDef, StartContext, StartError, Started,
};
use crate::status::{Board, ProbeState, ProbeVerdict};

/// What every probe is started with.
pub struct Starter {
    /// The configuration.
    pub config: Arc<Config>,
    /// Files of the host.
    pub fs: HostFs,
    /// Facts about the kernel.
    pub support: KernelSupport,
    /// Where verdicts go.
    pub board: Arc<Board>,
    /// Reads the events of the probes; without it, they stay in the kernel.
    pub events: Option<Events>,
}

/// A probe that runs, with all that ends when it is dropped.
pub(super) struct Running {
    pub probe: Box<dyn Probe>,
    pub events: Option<RunningEvents>,
    pub programs: Option<ProgramStats>,
}

/// Events that are being read, and what did not come so far.
pub(super) struct RunningEvents {
    pub feed: Feed,
    pub losses: Losses,
}

impl Starter {
    /// Turns the kernel's BPF statistics on where the configuration asks for them.
    pub(super) fn statistics(&self) -> Option<StatsSwitch> {
        if !self.config.bpf_statistics {
            return None;
        }
        let switched = StatsSwitch::on();
        if let Err(error) = &switched {
            tracing::warn!(error, "BpfStatistics cannot be turned on; it needs CAP_SYS_ADMIN");
        }
        switched.ok()
    }

    /// Starts all probes that the configuration does not turn off. Entry `i` is `PROBES[i]`.
    pub(super) fn start_all(&self) -> Vec<Option<Running>> {
        // Read once for all: the types of the whole kernel take some MiB while they are held.
        let types = KernelTypes::read();
        PROBES
            .iter()
            .enumerate()
            .map(|(index, def)| {
                if self.is_disabled(def) {
                    let reason = "turned off by BlackList or --disable-tracing".to_owned();
                    self.stopped(def, ProbeState::Disabled, reason, Vec::new());
                    return None;
                }
                self.start(index, types.as_ref())
            })
            .collect()
    }

    /// Starts a probe anew, `restarts` times now.
    pub(super) fn restart(&self, index: usize, restarts: u64) -> Option<Running> {
        let running = self.start(index, KernelTypes::read().as_ref());
        self.board.set_restarts(PROBES[index].name, restarts);
        running
    }

    fn start(&self, index: usize, types: Option<&KernelTypes>) -> Option<Running> {
        let def = PROBES[index];
        let _span = tracing::debug_span!("start probe", probe = def.name).entered();
        let cx = StartContext { config: &self.config, fs: &self.fs, support: &self.support, types };
        let started = match catch_unwind(AssertUnwindSafe(|| (def.start)(&cx))) {
            Ok(started) => started,
            Err(_) => {
                self.stopped(def, ProbeState::Failed, "panicked at start".to_owned(), Vec::new());
                return None;
            }
        };
        let Started { probe, hooks, events, programs } = started;
        match probe {
            Ok(probe) => {
                self.board.set_probe(ProbeVerdict::running(def.name, hooks));
                let events = events.and_then(|source| self.read(def, source, &cx));
                Some(Running { probe, events, programs })
            }
            Err(error) => {
                let (state, reason) = judge(&error, &hooks);
                self.stopped(def, state, reason, hooks);
                None
            }
        }
    }

    fn read(
        &self,
        def: &ProbeDef,
        source: EventSource,
        cx: &StartContext<'_>,
    ) -> Option<RunningEvents> {
        let EventSource { source, losses, decoder } = source;
        let decoder = match decoder {
            Some(decoder) => decoder,
            None => def.decoder?(cx),
        };
        match self.events.as_ref()?.add(def.name, source, decoder) {
            Ok(feed) => Some(RunningEvents { feed, losses }),
            Err(error) => {
                tracing::error!(probe = def.name, %error, "its events are not read");
                None
            }
        }
    }

    fn is_disabled(&self, def: &ProbeDef) -> bool {
        def.is_listed(&self.config) || self.config.is_listed(def.name)
    }

    fn stopped(&self, def: &ProbeDef, state: ProbeState, reason: String, hooks: Vec<HookVerdict>) {
        if state.is_trouble() {
            tracing::warn!(probe = def.name, state = state.as_str(), reason, "does not run");
        }
        self.board.set_probe(ProbeVerdict::stopped(def.name, state, reason, hooks));
    }
}

/// Whether the kernel lacks it or refuses it, in one line.
fn judge(error: &StartError, hooks: &[HookVerdict]) -> (ProbeState, String) {
    let lacks = match error {
        StartError::Load(error) => error.state() == HookState::Unsupported,
        StartError::Read(ReadError::Io { source, .. }) => {
            matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::Unsupported)
        }
        StartError::Read(ReadError::Format { .. })
        | StartError::Netlink(_)
        | StartError::Library(_)
        | StartError::Stamps(_)
        | StartError::SwitchedOff(_)
        | StartError::Absent(_) => false,
        StartError::Lacks(_) => true,
        StartError::Hook(_) => {
            hooks.iter().filter(|hook| hook.is_missing()).all(|h| h.state == HookState::Unsupported)
        }
    };
    let state = match error {
        StartError::Absent(_) => ProbeState::Absent,
        StartError::SwitchedOff(_) => ProbeState::Disabled,
        _ if lacks => ProbeState::Unsupported,
        _ => ProbeState::Failed,
    };
    let missing = hooks.iter().find(|hook| hook.is_missing());
    let reason = match missing {
        Some(hook) => format!("{error}: {}", hook.reason),
        None => error.to_string(),
    };
    (state, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::LoadError;

    fn hook(state: HookState) -> HookVerdict {
        HookVerdict {
            hook: "sched_switch",
            required: true,
            purpose: "",
            state,
            way: None,
            at: None,
            size: None,
            reason: "raw_tp: no such tracepoint".to_owned(),
        }
    }

    #[test]
    fn a_hook_that_the_kernel_lacks_is_unsupported_and_one_that_it_refuses_has_failed() {
        let error = StartError::Hook("sched_switch");
        let (state, reason) = judge(&error, &[hook(HookState::Unsupported)]);
        assert_eq!(state, ProbeState::Unsupported);
        assert!(reason.contains("sched_switch") && reason.contains("no such tracepoint"));
        let (state, _) = judge(&error, &[hook(HookState::Failed)]);
        assert_eq!(state, ProbeState::Failed);
    }

    #[test]
    fn without_types_of_the_kernel_a_probe_is_unsupported_and_without_rights_it_has_failed() {
        assert_eq!(judge(&LoadError::NoBtf.into(), &[]).0, ProbeState::Unsupported);
        let (state, reason) = judge(&LoadError::NotPermitted.into(), &[]);
        assert_eq!(state, ProbeState::Failed);
        assert!(reason.contains("CAP_BPF"));
    }

    #[test]
    fn without_types_of_the_kernel_a_bpf_probe_is_unsupported_and_says_what_is_missing() {
        let fs = HostFs::new("/");
        let board = Arc::new(Board::default());
        let starter = Starter {
            config: Arc::new(Config::default()),
            support: KernelSupport::gather(&fs),
            fs,
            board: Arc::clone(&board),
            events: None,
        };
        for name in ["cpu.runqlat", "memory.oom"] {
            let index = PROBES.iter().position(|def| def.name == name).unwrap();
            assert!(starter.start(index, None).is_none());
        }
        for verdict in board.verdicts().probes {
            assert_eq!(verdict.state, ProbeState::Unsupported);
            assert!(verdict.reason.contains("CONFIG_DEBUG_INFO_BTF"), "{}", verdict.reason);
        }
    }
}
