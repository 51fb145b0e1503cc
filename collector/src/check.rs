// SPDX-License-Identifier: Apache-2.0
//! `huatuo-otel check`: loads and attaches everything once, says what became of it, and leaves
//! nothing behind.

use std::io::{self, Write};

use crate::bpf::{HookState, HookVerdict};
use crate::status::{ProbeState, ProbeVerdict, SourceVerdict, Verdicts};

/// Whether something that is enabled cannot run here.
pub fn is_trouble(verdicts: &Verdicts) -> bool {
    verdicts.probes.iter().any(|verdict| verdict.state.is_trouble())
}

/// Prints the verdicts as a table for people.
pub fn print_table(verdicts: &Verdicts, out: &mut dyn Write) -> io::Result<()> {
    let width = verdicts.probes.iter().map(|verdict| verdict.probe.len()).max().unwrap_or(0);
    writeln!(out, "{:width$}  {:11}  HOOKS", "PROBE", "STATE")?;
    for verdict in &verdicts.probes {
        print_probe(verdict, width, out)?;
    }
    for verdict in &verdicts.sources {
        print_source(verdict, out)?;
    }
    let count = |state| verdicts.probes.iter().filter(|verdict| verdict.state == state).count();
    writeln!(
        out,
        "\n{} probes: {} attached, {} partial, {} unsupported, {} failed, {} disabled, \
         {} absent",
        verdicts.probes.len(),
        count(ProbeState::Attached),
        count(ProbeState::Partial),
        count(ProbeState::Unsupported),
        count(ProbeState::Failed),
        count(ProbeState::Disabled),
        count(ProbeState::Absent),
    )
}

fn print_probe(verdict: &ProbeVerdict, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let hooks: Vec<String> = verdict.hooks.iter().map(hook).collect();
    let hooks = if hooks.is_empty() { "reads files".to_owned() } else { hooks.join(", ") };
    let is_idle = matches!(verdict.state, ProbeState::Disabled | ProbeState::Absent);
    let hooks = if is_idle { "-".to_owned() } else { hooks };
    writeln!(out, "{:width$}  {:11}  {hooks}", verdict.probe, verdict.state.as_str())?;
    for line in [&verdict.reason, &verdict.last_error] {
        if !line.is_empty() {
            writeln!(out, "{:width$}  {line}", "")?;
        }
    }
    Ok(())
}

fn print_source(verdict: &SourceVerdict, out: &mut dyn Write) -> io::Result<()> {
    let SourceVerdict { source, target, works, reason } = verdict;
    match works {
        Some(true) => writeln!(out, "\n{source} answers ({target})"),
        Some(false) => {
            writeln!(out, "\n{source} does not answer; names of pods are missing\n{reason}")
        }
        None => writeln!(out, "\n{source} is not asked: there are no containers of pods here"),
    }
}

fn hook(verdict: &HookVerdict) -> String {
    match (verdict.way, verdict.state) {
        (Some(way), _) => format!("{}/{}", way.as_str(), verdict.at.unwrap_or(verdict.hook)),
        (None, HookState::Failed) => format!("{} (failed)", verdict.hook),
        (None, _) => format!("{} (not here)", verdict.hook),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::Way;

    fn verdicts(state: ProbeState, reason: &str) -> Verdicts {
        let hook = HookVerdict {
            hook: "sched_switch",
            required: true,
            purpose: "",
            state: HookState::Attached,
            way: Some(Way::TpBtf),
            at: None,
            size: None,
            reason: String::new(),
        };
        let stopped = ProbeVerdict::stopped("cpu.runqlat", state, reason.to_owned(), vec![hook]);
        Verdicts { probes: vec![stopped], exporters: Vec::new(), sources: Vec::new() }
    }

    #[test]
    fn the_table_has_the_hook_the_state_and_the_reason() {
        let mut out = Vec::new();
        print_table(&verdicts(ProbeState::Failed, "not permitted"), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("cpu.runqlat  failed       tp_btf/sched_switch"));
        assert!(text.contains("not permitted"));
        assert!(text.ends_with(
            "1 probes: 0 attached, 0 partial, 0 unsupported, 1 failed, 0 disabled, 0 absent\n"
        ));
    }

    #[test]
    fn only_what_cannot_run_is_trouble() {
        assert!(is_trouble(&verdicts(ProbeState::Failed, "")));
        assert!(is_trouble(&verdicts(ProbeState::Unsupported, "")));
        for fine in [ProbeState::Attached, ProbeState::Partial, ProbeState::Disabled] {
            assert!(!is_trouble(&verdicts(fine, "")));
        }
    }
}
