// SPDX-License-Identifier: Apache-2.0
//! CPUs and tasks that hang, for real.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use integration::lab::{HungTask, Setting, is_elsewhere};
use integration::{
    Agent, Burner, Collector, Received, Record, only, push_config, slowness, wait_for,
};
use serde_json::Value as Json;

const DISABLED: &str = "linux.softirq.disabled";
const SOFTLOCKUP: &str = "linux.kernel.softlockup";
const HUNG_TASK: &str = "linux.kernel.hung_task";

/// An agent that pushes to a Collector every second, and has begun to.
fn pushing(collector: &Collector, more: &str) -> Agent {
    let push = push_config("grpc", collector.grpc, "gzip", "http", "");
    let only = only(&["cpu.softirq", "system.hung_task", "system.softlockup"]);
    let agent = Agent::with(&format!("{only}{push}{more}")).start().unwrap();
    collector.until(|got| Ok(got.last("linux.softirq.wait.duration")?.time)).unwrap();
    agent
}

/// Events of a name whose attribute has that value.
fn all_of<'a>(got: &'a Received, name: &str, key: &str, value: &str) -> Vec<&'a Record> {
    let of = |record: &&Record| {
        record.event_name == name && record.attributes.get(key).is_some_and(|v| v == value)
    };
    got.records.iter().filter(of).collect()
}

/// The one event of a name about a thread.
fn the_only(got: &Received, name: &str, tid: u32) -> Result<Record> {
    let found = all_of(got, name, "thread.id", &tid.to_string());
    ensure!(found.len() == 1, "{} of thread {tid}: {found:?}", found.len());
    Ok(found[0].clone())
}

/// A setting of the kernel, as it was again when what this returns is dropped.
fn set(name: &str, value: &str) -> Setting {
    Setting::new(&format!("/proc/sys/kernel/{name}"), value).unwrap()
}

/// Has a thread hold up its CPU until that is told of. A softirq has to interrupt it for that,
/// and the CPUs of the machine may be busy with others.
fn burned(burner: &Burner, collector: &Collector, name: &str) -> Record {
    let told = || {
        let tid = burner.burn(name)?;
        wait_for(Duration::from_secs(5), || the_only(&collector.received()?, DISABLED, tid))
    };
    wait_for(Duration::from_secs(60), told).unwrap()
}

#[test]
fn who_holds_softirqs_or_interrupts_off_is_told_once_with_its_stack() {
    let collector = Collector::start(None).unwrap();
    // More than a busy machine holds up one that it emulates.
    let threshold = "[EventTracing.Softirq]\nDisabledThreshold = 40000000\n";
    let agent = pushing(&collector, threshold);
    let burner = Burner::attach().unwrap();
    for (name, function) in [("softirq 60", "_softirq"), ("irq 60", "send_sig")] {
        let event = burned(&burner, &collector, name);
        println!("{}\n{}", event.body, event.attributes["code.stacktrace"]);
        assert_eq!(event.severity, 13);
        assert_eq!(event.attributes["thread.name"], name);
        assert!(event.attributes["code.stacktrace"].contains(function));
        // The tick itself is not what held them off.
        assert!(!event.attributes["code.stacktrace"].contains("hrtimer_interrupt"));
        let vector = event.attributes.get("linux.softirq.vector");
        assert_eq!(vector.is_some(), name.starts_with("softirq"), "{vector:?}");
        let seconds: f64 = event.attributes["linux.softirq.disabled.duration"].parse().unwrap();
        assert!((0.04..0.2 * f64::from(slowness())).contains(&seconds), "{seconds} s");
        let data = &agent.document("softirq_tracing", &event).unwrap()["tracer_data"];
        assert_eq!(data["offtime"].as_f64().unwrap().round(), (seconds * 1e9).round());
        assert_eq!((&data["threshold"], &data["comm"]), (&Json::from(40_000_000), &name.into()));
        assert!(data["now"].as_u64() > Some(0) && data["stack"].as_str().unwrap().contains('\n'));
    }
}

#[test]
fn softirqs_held_off_below_the_threshold_or_with_the_event_off_are_not_told() {
    let burner = Burner::attach().unwrap();
    let quiet = "[EventTracing.Softirq]\nDisabledThreshold = 5000000000\n";
    for config in ["BlackList = [\"softirq_tracing\"]\n", ""] {
        let collector = Collector::start(None).unwrap();
        let config = config.to_owned()
            + &push_config("grpc", collector.grpc, "gzip", "http", "")
            + if config.is_empty() { quiet } else { "" };
        let _agent = Agent::with(&config).start().unwrap();
        collector.until(|got| Ok(got.last("linux.softirq.wait.duration")?.time)).unwrap();
        for name in ["softirq 60", "irq 60"] {
            burner.burn(name).unwrap();
        }
        sleep(Duration::from_secs(3));
        let got = collector.received().unwrap();
        assert!(got.records.iter().all(|record| record.event_name != DISABLED));
    }
}

#[test]
fn a_hung_task_is_told_with_all_that_are_blocked_and_held_back_when_it_comes_again() {
    let collector = Collector::start(None).unwrap();
    let agent = pushing(&collector, "[EventTracing.Lockup]\nAllCpuBacktraces = true\n");
    let counted = |got: &Received| Ok(got.last("linux.kernel.hung_tasks")?.value);
    let before = collector.until(counted).unwrap();
    let hung = HungTask::new(2).unwrap();
    let pid = hung.pid();
    let event = collector.until(|got| the_only(got, HUNG_TASK, pid)).unwrap();
    println!("{}\n{:#?}", event.body, event.attributes);
    assert_eq!(event.severity, 17);
    assert_eq!(event.attributes["thread.name"], "dd");
    assert_eq!(event.attributes["linux.hung_task.timeout"], "2");
    assert!(event.attributes["code.stacktrace"].contains("write"));
    assert!(event.attributes["linux.task.blocked"].contains("\"dd\""));
    let answers = Path::new("/proc/sysrq-trigger").exists();
    let backtraces = event.attributes.get("linux.cpu.backtraces");
    assert_eq!(backtraces.is_some_and(|text| text.contains("backtrace")), answers);
    let data = &agent.document("hungtask", &event).unwrap()["tracer_data"];
    assert_eq!((&data["pid"], &data["comm"]), (&pid.into(), &"dd".into()));
    let tasks = data["blocked_processes_stack"].as_str().unwrap();
    assert!(tasks.contains(&format!("process.pid: {pid} ")) && tasks.contains("\n "), "{tasks}");
    assert_eq!(data["cpus_stack"].as_str().unwrap().contains("backtrace"), answers);
    // The kernel looks again, and counts again.
    collector
        .until(|got| {
            let now = counted(got)?;
            ensure!(now >= before + 2.0, "{before} and then {now}");
            Ok(())
        })
        .unwrap();
    assert!(agent.get("metrics").unwrap().contains("huatuo_bamai_hungtask_total{"));
    collector
        .until(|got| {
            let held = got.suppressed(HUNG_TASK, "backoff");
            ensure!(held >= 1.0, "{held} held back");
            Ok(())
        })
        .unwrap();
    let got = collector.received().unwrap();
    assert_eq!(got.records.iter().filter(|record| record.event_name == HUNG_TASK).count(), 1);
}

#[test]
fn a_watchdog_that_is_off_is_a_verdict_that_says_what_to_do() {
    let _hung = set("hung_task_timeout_secs", "0");
    let _soft = set("soft_watchdog", "0");
    let agent = Agent::with("").start().unwrap();
    let status = agent.status().unwrap();
    let probes = status["probes"].as_array().unwrap();
    for (name, setting) in
        [("system.hung_task", "hung_task_timeout_secs"), ("system.softlockup", "soft_watchdog")]
    {
        let probe = probes.iter().find(|probe| probe["probe"] == name).unwrap();
        assert_eq!(probe["state"], "disabled");
        let reason = probe["reason"].as_str().unwrap();
        assert!(reason.contains(setting) && reason.contains("sysctl"), "{reason}");
    }
}

#[test]
fn a_soft_lockup_is_told_with_its_stack_and_counted() {
    if is_elsewhere("events_cpu", "a CPU that may be held up for 14 s") {
        return;
    }
    let _thresh = set("watchdog_thresh", "5");
    let collector = Collector::start(None).unwrap();
    let agent = pushing(&collector, "[EventTracing.Lockup]\nAllCpuBacktraces = true\n");
    let before = collector.until(|got| Ok(got.last("linux.kernel.softlockups")?.value)).unwrap();
    let burner = Burner::attach().unwrap();
    let tid = burner.burn("lockup 14000").unwrap();
    let event = collector.until(|got| the_only(got, SOFTLOCKUP, tid)).unwrap();
    println!("{}\n{:#?}", event.body, event.attributes);
    assert_eq!(event.severity, 18);
    assert!(event.attributes["code.stacktrace"].contains("bpf_"));
    let data = &agent.document("softlockup", &event).unwrap()["tracer_data"];
    assert_eq!(data["cpu"].to_string(), event.attributes["cpu.logical_number"]);
    assert!(data["cpus_stack"].as_str().unwrap().contains("backtrace"), "{data}");
    collector
        .until(|got| {
            let now = got.last("linux.kernel.softlockups")?.value;
            ensure!(now > before, "{now}");
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_cpu_that_is_held_up_below_the_threshold_is_no_soft_lockup() {
    if is_elsewhere("events_cpu", "a CPU that may be held up for 4 s") {
        return;
    }
    // Twice this is the threshold.
    let _thresh = set("watchdog_thresh", "5");
    let collector = Collector::start(None).unwrap();
    let agent = pushing(&collector, "");
    let before = collector.until(|got| Ok(got.last("linux.kernel.softlockups")?.value)).unwrap();
    let burner = Burner::attach().unwrap();
    burner.burn("lockup 4000").unwrap();
    // Above it, but for others.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(12) {
        std::hint::black_box(());
    }
    let got = collector.settled().unwrap();
    assert!(got.records.iter().all(|record| record.event_name != SOFTLOCKUP));
    assert_eq!(got.last("linux.kernel.softlockups").unwrap().value, before);
    assert!(!agent.event_file("softlockup").exists());
}

#[test]
fn a_task_that_waits_below_the_threshold_again_and_again_is_not_hung() {
    // The kernel looks as often.
    let _timeout = set("hung_task_timeout_secs", "10");
    let collector = Collector::start(None).unwrap();
    let agent = pushing(&collector, "");
    let before = collector.until(|got| Ok(got.last("linux.kernel.hung_tasks")?.value)).unwrap();
    for _ in 0..4 {
        let _waiting = HungTask::new(10).unwrap();
        sleep(Duration::from_secs(4));
    }
    let got = collector.settled().unwrap();
    assert!(got.records.iter().all(|record| record.event_name != HUNG_TASK));
    assert_eq!(got.last("linux.kernel.hung_tasks").unwrap().value, before);
    assert!(!agent.event_file("hungtask").exists());
}
