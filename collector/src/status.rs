// SPDX-License-Identifier: Apache-2.0
//! What works and what does not, and what would mend it. `huatuo-otel check` prints it, `/status`
//! serves it, and the agent's own metrics carry it.

use std::sync::{Arc, Mutex};

use semconv::attribute;
use serde::Serialize;

use crate::bpf::{HookState, HookVerdict};
use crate::sync::lock;

/// What became of a probe. The words are those of `huatuo.probe.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeState {
    /// All of it works.
    Attached,
    /// Some of it works.
    Partial,
    /// This kernel lacks what it needs.
    Unsupported,
    /// It should work here and does not.
    Failed,
    /// The configuration turns it off, or the host's settings do.
    Disabled,
    /// There is nothing here that it could observe.
    Absent,
}

impl ProbeState {
    /// The word of the registry.
    pub fn as_str(self) -> &'static str {
        attribute::HUATUO_PROBE_STATE.members[self as usize]
    }

    /// Enabled, and cannot do all of its work here.
    pub fn is_trouble(self) -> bool {
        matches!(self, ProbeState::Unsupported | ProbeState::Failed)
    }
}

/// What became of one probe.
#[derive(Debug, Clone, Serialize)]
pub struct ProbeVerdict {
    /// Name of the probe.
    pub probe: &'static str,
    /// What became of it.
    pub state: ProbeState,
    /// Why it is not `attached`, and what would mend it; else empty.
    pub reason: String,
    /// Its hooks; none for probes that read files.
    pub hooks: Vec<HookVerdict>,
    /// What its last collection complained of; else empty.
    pub last_error: String,
    /// Times it was started anew after a panic.
    pub restarts: u64,
}

impl ProbeVerdict {
    /// Of a probe that runs with `hooks`.
    pub fn running(probe: &'static str, hooks: Vec<HookVerdict>) -> Self {
        let missing = hooks.iter().find(|hook| hook.state != HookState::Attached);
        let (state, reason) = match missing {
            Some(hook) => (
                ProbeState::Partial,
                format!("without {} ({}): {}", hook.hook, hook.purpose, hook.reason),
            ),
            None => (ProbeState::Attached, String::new()),
        };
        Self { probe, state, reason, hooks, last_error: String::new(), restarts: 0 }
    }

    /// A probe that started and whose one collection failed has failed: there is no second one to
    /// wait for.
    pub fn judge_by_last_error(&mut self) {
        if !self.last_error.is_empty() && !self.state.is_trouble() {
            self.state = ProbeState::Failed;
            self.reason = std::mem::take(&mut self.last_error);
        }
    }

    /// Of a probe that does not run.
    pub fn stopped(
        probe: &'static str,
        state: ProbeState,
        reason: String,
        hooks: Vec<HookVerdict>,
    ) -> Self {
        Self { probe, state, reason, hooks, last_error: String::new(), restarts: 0 }
    }
}

/// What became of one way out.
#[derive(Debug, Clone, Serialize)]
pub struct ExporterVerdict {
    /// Name of the exporter.
    pub exporter: &'static str,
    /// Where it sends to.
    pub target: String,
    /// The last attempt worked; `None` before the first.
    pub works: Option<bool>,
    /// Why it did not.
    pub reason: String,
}

/// What became of a source of names.
#[derive(Debug, Clone, Serialize)]
pub struct SourceVerdict {
    /// Name of the source.
    pub source: &'static str,
    /// Where it is asked.
    pub target: String,
    /// The last question was answered; `None` where there was nothing to ask.
    pub works: Option<bool>,
    /// Why it was not, and what would mend it.
    pub reason: String,
}

/// The verdicts of everything that runs.
#[derive(Debug, Default)]
pub struct Board {
    probes: Mutex<Vec<ProbeVerdict>>,
    exporters: Mutex<Vec<ExporterVerdict>>,
    sources: Mutex<Vec<SourceVerdict>>,
}

/// All verdicts at one moment.
#[derive(Debug, Serialize)]
pub struct Verdicts {
    /// One per probe.
    pub probes: Vec<ProbeVerdict>,
    /// One per exporter.
    pub exporters: Vec<ExporterVerdict>,
    /// One per source of names.
    pub sources: Vec<SourceVerdict>,
}

impl Board {
    /// Replaces the verdict of a probe, or adds it.
    pub fn set_probe(&self, verdict: ProbeVerdict) {
        let mut probes = lock(&self.probes);
        match probes.iter_mut().find(|known| known.probe == verdict.probe) {
            Some(known) => *known = verdict,
            None => probes.push(verdict),
        }
    }

    /// Notes how often a probe was started anew.
    pub fn set_restarts(&self, probe: &'static str, restarts: u64) {
        let mut probes = lock(&self.probes);
        if let Some(known) = probes.iter_mut().find(|known| known.probe == probe) {
            known.restarts = restarts;
        }
    }

    /// Notes what a probe's collection came to; an empty `error` is none.
    pub fn set_last_error(&self, probe: &'static str, error: &str) {
        let mut probes = lock(&self.probes);
        let Some(known) = probes.iter_mut().find(|known| known.probe == probe) else { return };
        if known.last_error == error {
            return;
        }
        if !error.is_empty() {
            tracing::warn!(probe, error, "a collection failed; the probe is asked again");
        }
        error.clone_into(&mut known.last_error);
    }

    /// A new exporter.
    pub fn exporter(self: &Arc<Self>, exporter: &'static str, target: String) -> ExporterStatus {
        let mut exporters = lock(&self.exporters);
        exporters.push(ExporterVerdict { exporter, target, works: None, reason: String::new() });
        ExporterStatus { board: Arc::clone(self), index: exporters.len() - 1 }
    }

    /// A new source of names.
    pub fn source(self: &Arc<Self>, source: &'static str, target: String) -> SourceStatus {
        let mut sources = lock(&self.sources);
        sources.push(SourceVerdict { source, target, works: None, reason: String::new() });
        SourceStatus { board: Arc::clone(self), index: sources.len() - 1 }
    }

    /// Everything as it stands.
    pub fn verdicts(&self) -> Verdicts {
        Verdicts {
            probes: lock(&self.probes).clone(),
            exporters: lock(&self.exporters).clone(),
            sources: lock(&self.sources).clone(),
        }
    }
}

/// Where a source of names says how it fares. A change is logged once.
#[derive(Debug, Clone)]
pub struct SourceStatus {
    board: Arc<Board>,
    index: usize,
}

impl SourceStatus {
    /// It answered.
    pub fn works(&self) {
        self.set(true, "");
    }

    /// It did not, because of `reason`.
    pub fn fails(&self, reason: &str) {
        self.set(false, reason);
    }

    fn set(&self, works: bool, reason: &str) {
        let mut sources = lock(&self.board.sources);
        let verdict = &mut sources[self.index];
        let source = verdict.source;
        match (verdict.works, works) {
            (Some(false), true) => tracing::info!(source, "answers again"),
            (None | Some(true), false) => {
                tracing::warn!(source, reason, "names are missing; it is asked again");
            }
            _ => {}
        }
        verdict.works = Some(works);
        reason.clone_into(&mut verdict.reason);
    }
}

/// Where an exporter says how it fares. A change is logged once; what stays as it was is not.
#[derive(Debug, Clone)]
pub struct ExporterStatus {
    board: Arc<Board>,
    index: usize,
}

impl ExporterStatus {
    /// The last attempt worked.
    pub fn works(&self) {
        let mut exporters = lock(&self.board.exporters);
        let verdict = &mut exporters[self.index];
        match verdict.works {
            Some(true) => return,
            Some(false) => {
                tracing::info!(exporter = verdict.exporter, target = verdict.target, "sends again");
            }
            None => tracing::debug!(exporter = verdict.exporter, "sends"),
        }
        verdict.works = Some(true);
        verdict.reason.clear();
    }

    /// The receiver took all but `rejected` items, or has something to say.
    pub fn warns(&self, rejected: u64, message: &str) {
        let mut exporters = lock(&self.board.exporters);
        let verdict = &mut exporters[self.index];
        if verdict.reason == message {
            return;
        }
        let (exporter, target) = (verdict.exporter, &verdict.target);
        tracing::warn!(exporter, target, rejected, message, "the receiver complains");
        message.clone_into(&mut verdict.reason);
    }

    /// The last attempt failed because of `reason`.
    pub fn fails(&self, reason: &str) {
        let mut exporters = lock(&self.board.exporters);
        let verdict = &mut exporters[self.index];
        if verdict.works != Some(false) {
            tracing::warn!(
                exporter = verdict.exporter,
                target = verdict.target,
                reason,
                "cannot send; goes on trying"
            );
        }
        verdict.works = Some(false);
        reason.clone_into(&mut verdict.reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_the_words_of_the_registry() {
        assert_eq!(ProbeState::Attached.as_str(), "attached");
        assert_eq!(ProbeState::Disabled.as_str(), "disabled");
        assert_eq!(ProbeState::Absent.as_str(), "absent");
        assert_eq!(attribute::HUATUO_PROBE_STATE.members.len(), 6);
    }

    #[test]
    fn a_missing_optional_hook_makes_a_probe_partial() {
        let hook = HookVerdict {
            hook: "oom_kill_process",
            required: false,
            purpose: "tells why",
            state: HookState::Unsupported,
            way: None,
            at: None,
            size: None,
            reason: "no kprobes".to_owned(),
        };
        let verdict = ProbeVerdict::running("memory.oom", vec![hook]);
        assert_eq!(verdict.state, ProbeState::Partial);
        assert!(verdict.reason.contains("no kprobes"));
        assert_eq!(ProbeVerdict::running("memory.oom", Vec::new()).state, ProbeState::Attached);
    }

    #[test]
    fn a_source_is_on_the_board_with_its_last_answer() {
        let board = Arc::new(Board::default());
        let source = board.source("kubelet", "http://127.0.0.1:10255/pods".to_owned());
        assert_eq!(board.verdicts().sources[0].works, None);
        source.fails("refused");
        let verdict = board.verdicts().sources.remove(0);
        assert_eq!((verdict.works, verdict.reason.as_str()), (Some(false), "refused"));
        source.works();
        let verdict = board.verdicts().sources.remove(0);
        assert_eq!((verdict.works, verdict.reason.as_str()), (Some(true), ""));
    }

    #[test]
    fn an_exporter_is_on_the_board_with_its_last_outcome() {
        let board = Arc::new(Board::default());
        let exporter = board.exporter("otlp/logs", "http://127.0.0.1:4317".to_owned());
        assert_eq!(board.verdicts().exporters[0].works, None);
        exporter.fails("connection refused");
        assert_eq!(board.verdicts().exporters[0].reason, "connection refused");
        exporter.works();
        assert_eq!(board.verdicts().exporters[0].works, Some(true));
        assert!(board.verdicts().exporters[0].reason.is_empty());
    }
}
