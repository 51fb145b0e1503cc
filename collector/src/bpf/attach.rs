// SPDX-License-Identifier: Apache-2.0
//! The ladder: each hook of a probe has twins, and the cheapest that this kernel takes is used.

use std::io;

use aya::programs::{BtfTracePoint, FEntry, Iter, KProbe, Program, ProgramError, RawTracePoint};
use aya::{Btf, Ebpf};
use aya_obj::btf::BtfKind;
use serde::Serialize;

use super::stats::ProgramSize;
use crate::cause::io_cause;
use crate::kernel::KernelSupport;

/// How a program reaches a hook, cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Tracepoint with typed arguments.
    TpBtf,
    /// Tracepoint with raw arguments.
    RawTp,
    /// Entry of a kernel function, patched in.
    Fentry,
    /// Entry of a kernel function, by breakpoint or ftrace.
    Kprobe,
    /// Not attached: run over all objects of a kind when it is asked to ([`Object::walk`]).
    ///
    /// [`Object::walk`]: super::Object::walk
    Iter,
}

impl Way {
    /// The word of the kernel's documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Way::TpBtf => "tp_btf",
            Way::RawTp => "raw_tp",
            Way::Fentry => "fentry",
            Way::Kprobe => "kprobe",
            Way::Iter => "iter",
        }
    }
}

/// One program that can serve a hook.
#[derive(Debug, Clone, Copy)]
pub struct Twin {
    /// How it attaches.
    pub way: Way,
    /// Its name in the object.
    pub program: &'static str,
    /// Where it attaches, if not at the hook's target: kernels rename their functions.
    pub at: Option<&'static str>,
}

impl Twin {
    /// A program at the hook's target.
    pub const fn new(way: Way, program: &'static str) -> Self {
        Self { way, program, at: None }
    }

    /// A program at another function.
    pub const fn at(way: Way, program: &'static str, function: &'static str) -> Self {
        Self { way, program, at: Some(function) }
    }
}

/// One place in the kernel, with the programs that can serve it in order of preference.
#[derive(Debug, Clone, Copy)]
pub struct Hook {
    /// Tracepoint or function name.
    pub target: &'static str,
    /// Without it the probe cannot do its work.
    pub required: bool,
    /// What it is for, in a few words.
    pub purpose: &'static str,
    /// Tried in this order.
    pub twins: &'static [Twin],
}

/// What became of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HookState {
    /// A program runs there.
    Attached,
    /// This kernel does not have it.
    Unsupported,
    /// It should work and does not.
    Failed,
}

/// What became of a hook, and why.
#[derive(Debug, Clone, Serialize)]
pub struct HookVerdict {
    /// Tracepoint or function name.
    pub hook: &'static str,
    /// Without it the probe cannot do its work.
    pub required: bool,
    /// What it is for.
    pub purpose: &'static str,
    /// What became of it.
    pub state: HookState,
    /// The way that was taken.
    pub way: Option<Way>,
    /// Where it leads: to the hook, or to what another kernel has in its place.
    pub at: Option<&'static str>,
    /// The program that runs there.
    pub size: Option<ProgramSize>,
    /// Why no way could be taken; empty when attached.
    pub reason: String,
}

impl HookVerdict {
    /// Of a hook that no program runs at.
    pub fn missing(hook: &Hook, state: HookState, reason: String) -> Self {
        Self {
            hook: hook.target,
            required: hook.required,
            purpose: hook.purpose,
            state,
            way: None,
            at: None,
            size: None,
            reason,
        }
    }

    /// The probe cannot do without it, and it is not there.
    pub fn is_missing(&self) -> bool {
        self.required && self.state != HookState::Attached
    }
}

/// Why one twin could not be used.
struct Refusal {
    state: HookState,
    reason: String,
}

/// Tries the twins of `hook` in order.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    btf: &Btf,
    support: &KernelSupport,
    hook: &Hook,
) -> HookVerdict {
    let mut verdict = HookVerdict::missing(hook, HookState::Unsupported, String::new());
    let mut reasons = Vec::new();
    for twin in hook.twins {
        let target = twin.at.unwrap_or(hook.target);
        let outcome = precondition(twin.way, target, support)
            .and_then(|()| attach_twin(ebpf, btf, target, twin));
        match outcome {
            Ok(()) => {
                verdict.state = HookState::Attached;
                verdict.way = Some(twin.way);
                verdict.at = Some(target);
                let program = ebpf.program(twin.program);
                verdict.size = program.and_then(|found| ProgramSize::of(twin.program, found));
                return verdict;
            }
            Err(refusal) => {
                if refusal.state == HookState::Failed {
                    verdict.state = HookState::Failed;
                }
                reasons.push(format!("{}: {}", twin.way.as_str(), refusal.reason));
            }
        }
    }
    verdict.reason = reasons.join("; ");
    verdict
}

/// What is known before asking the kernel.
fn precondition(way: Way, target: &str, support: &KernelSupport) -> Result<(), Refusal> {
    let missing = match way {
        Way::TpBtf | Way::Fentry | Way::Iter if !support.btf => {
            "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)"
        }
        Way::Kprobe if !support.kprobes => "this kernel has no kprobes",
        Way::RawTp if support.has_tracepoint(target) == Some(false) => "no such tracepoint",
        _ => return Ok(()),
    };
    Err(Refusal { state: HookState::Unsupported, reason: missing.to_owned() })
}

fn attach_twin(ebpf: &mut Ebpf, btf: &Btf, target: &str, twin: &Twin) -> Result<(), Refusal> {
    let program = ebpf.program_mut(twin.program).ok_or_else(|| Refusal {
        state: HookState::Failed,
        reason: format!("program {} is not in the object", twin.program),
    })?;
    let result = match twin.way {
        Way::TpBtf => attach_tp_btf(program, target, btf),
        Way::Fentry => attach_fentry(program, target, btf),
        Way::RawTp => attach_raw_tp(program, target),
        Way::Kprobe => attach_kprobe(program, target),
        Way::Iter => load_iter(program, target, btf),
    };
    result.map_err(|error| match twin.way {
        // Its arguments' types are missing too, which reads as a broken program.
        Way::TpBtf | Way::RawTp if !is_tracepoint(btf, target) => {
            Refusal { state: HookState::Unsupported, reason: "no such tracepoint".to_owned() }
        }
        way => refusal(way, &error),
    })
}

/// Each tracepoint has a type of its own.
fn is_tracepoint(btf: &Btf, name: &str) -> bool {
    btf.id_by_type_name_kind(&format!("btf_trace_{name}"), BtfKind::Typedef).is_ok()
}

fn attach_tp_btf(program: &mut Program, target: &str, btf: &Btf) -> Result<(), ProgramError> {
    let program: &mut BtfTracePoint = program.try_into()?;
    program.load(target, btf)?;
    program.attach().map(drop)
}

fn attach_fentry(program: &mut Program, target: &str, btf: &Btf) -> Result<(), ProgramError> {
    let program: &mut FEntry = program.try_into()?;
    program.load(target, btf)?;
    program.attach().map(drop)
}

fn attach_raw_tp(program: &mut Program, target: &str) -> Result<(), ProgramError> {
    let program: &mut RawTracePoint = program.try_into()?;
    program.load()?;
    program.attach(target).map(drop)
}

fn attach_kprobe(program: &mut Program, target: &str) -> Result<(), ProgramError> {
    let program: &mut KProbe = program.try_into()?;
    // It may have been loaded for another function already.
    if program.fd().is_err() {
        program.load()?;
    }
    program.attach(target, 0).map(drop)
}

fn load_iter(program: &mut Program, target: &str, btf: &Btf) -> Result<(), ProgramError> {
    let program: &mut Iter = program.try_into()?;
    program.load(target, btf)
}

/// An error of the kernel in words, with whether the kernel lacks the thing or refuses it.
fn refusal(way: Way, error: &ProgramError) -> Refusal {
    let errno = io_cause(error).and_then(io::Error::raw_os_error);
    let (state, reason) = match (way, errno) {
        (Way::Fentry, Some(libc::EPERM | libc::EINVAL | ENOTSUPP)) => (
            HookState::Unsupported,
            "this kernel refuses to patch functions (lockdown, or no CONFIG_FUNCTION_TRACER)"
                .to_owned(),
        ),
        (_, Some(libc::EPERM | libc::EACCES)) => {
            (HookState::Failed, format!("not permitted; {NEEDS_CAPABILITIES}"))
        }
        (_, Some(libc::ENOENT | libc::ESRCH)) => {
            (HookState::Unsupported, "this kernel does not have it".to_owned())
        }
        _ if matches!(error, ProgramError::Btf(_)) => {
            (HookState::Unsupported, "not in this kernel's BTF".to_owned())
        }
        _ => (HookState::Failed, telling_lines(&error.to_string())),
    };
    Refusal { state, reason }
}

/// Not in libc: the kernel's own ENOTSUPP, which reaches user space from BPF trampolines.
const ENOTSUPP: i32 = 524;

/// What a process needs to load and attach our programs.
pub(super) const NEEDS_CAPABILITIES: &str =
    "run as root or grant CAP_BPF and CAP_PERFMON (before Linux 5.8: CAP_SYS_ADMIN)";

/// Verifier logs have many lines; a verdict has one. The last tells, but for those that say what it
/// took to find out.
pub(super) fn telling_lines(text: &str) -> String {
    const ABOUT_ITSELF: [&str; 3] = ["processed ", "verification time ", "stack depth "];
    let short = |line: &str| line.chars().take(200).collect::<String>();
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = short(lines.next().unwrap_or_default());
    match lines.rfind(|line| !ABOUT_ITSELF.iter().any(|start| line.starts_with(start))) {
        Some(last) => format!("{first} … {}", short(last)),
        None => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_log_of_the_verifier_the_line_that_says_what_is_wrong_is_told() {
        let log = "Invalid argument. Verifier output: 0: R1=ctx() R10=fp0\n\
                   41: (85) call bpf_ktime_get_coarse_ns#160\n\
                   program of this type cannot use helper bpf_ktime_get_coarse_ns#160\n\
                   verification time 1936 usec\n\
                   stack depth 248\n\
                   processed 40 insns (limit 1000000)\n\n";
        let told = telling_lines(log);
        assert!(told.starts_with("Invalid argument. Verifier output: 0:"), "{told}");
        assert!(
            told.ends_with(" … program of this type cannot use helper bpf_ktime_get_coarse_ns#160")
        );
        assert_eq!(telling_lines("not permitted\n"), "not permitted");
        assert_eq!(telling_lines(""), "");
    }
}
