// SPDX-License-Identifier: Apache-2.0
//! What `huatuo-otel check --json` says, as far as it is compared.

use serde::Deserialize;

/// All verdicts.
#[derive(Debug, Deserialize)]
pub struct Check {
    /// One per probe.
    pub probes: Vec<Probe>,
}

/// What became of a probe.
#[derive(Debug, Deserialize)]
pub struct Probe {
    /// Name of the probe.
    pub probe: String,
    state: String,
    reason: String,
    hooks: Vec<Hook>,
}

#[derive(Debug, Deserialize)]
struct Hook {
    hook: String,
    state: String,
    way: Option<String>,
    at: Option<String>,
    size: Option<Size>,
    reason: String,
}

/// How much of a BPF program there is.
#[derive(Debug, Clone, Deserialize)]
pub struct Size {
    /// Its name in the object.
    pub program: String,
    /// Instructions as the verifier left them.
    pub instructions: u32,
    /// Steps that the verifier took; since Linux 5.16.
    pub verified_instructions: Option<u32>,
}

impl Probe {
    /// The way that each hook takes, e.g. `tp_btf/sched_switch`, or what became of it instead; before
    /// them what became of the probe where its hooks do not tell. None for one that reads files and
    /// works.
    pub fn words(&self) -> Vec<String> {
        let told = match self.state.as_str() {
            "attached" => true,
            "partial" => !self.hooks.is_empty(),
            _ => false,
        };
        let state = (!told).then(|| self.state.clone());
        let hooks = self.hooks.iter().map(|hook| {
            let place = hook.at.as_ref().unwrap_or(&hook.hook);
            format!("{}/{place}", hook.way.as_ref().unwrap_or(&hook.state))
        });
        state.into_iter().chain(hooks).collect()
    }

    /// What does not work, and the agent's reason.
    pub fn reasons(&self) -> impl Iterator<Item = (&str, &str)> {
        let hooks = self.hooks.iter().filter(|hook| hook.way.is_none());
        let hooks = hooks.map(|hook| (hook.hook.as_str(), hook.reason.as_str()));
        let of_probe = [(self.probe.as_str(), self.reason.as_str())];
        of_probe.into_iter().chain(hooks)
    }

    /// Of the programs that run.
    pub fn sizes(&self) -> impl Iterator<Item = &Size> {
        self.hooks.iter().filter_map(|hook| hook.size.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(state: &str, hooks: &str) -> Probe {
        let text = format!(r#"{{"probe":"a.b","state":"{state}","reason":"","hooks":[{hooks}]}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn hooks_tell_of_a_probe_that_runs_and_its_state_of_one_that_does_not() {
        let taken = r#"{"hook":"x","state":"attached","way":"raw_tp","size":null,"reason":""}"#;
        let missing = r#"{"hook":"y","state":"unsupported","way":null,"size":null,"reason":"no"}"#;
        assert!(probe("attached", "").words().is_empty());
        assert_eq!(probe("absent", "").words(), ["absent"]);
        let both = probe("partial", &format!("{taken},{missing}"));
        assert_eq!(both.words(), ["raw_tp/x", "unsupported/y"]);
        assert_eq!(both.reasons().last(), Some(("y", "no")));
        assert_eq!(probe("failed", taken).words(), ["failed", "raw_tp/x"]);
        let elsewhere = taken.replace("null", r#"null,"at":"z""#);
        assert_eq!(probe("attached", &elsewhere).words(), ["raw_tp/z"]);
    }
}
