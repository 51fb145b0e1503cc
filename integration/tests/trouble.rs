// SPDX-License-Identifier: Apache-2.0
//! What is wrong is said in one clear line each, and what can run does.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use integration::{Agent, binary};

/// Starts an agent that must not start, and returns what it said.
fn refused(config: &str) -> String {
    let output = Agent::with_only(config).run().unwrap();
    assert_eq!(output.status.code(), Some(1), "{config}");
    assert!(output.stdout.is_empty(), "nothing may have started");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.lines().all(|line| line.starts_with("huatuo-otel: ")), "{said}");
    said
}

#[test]
fn every_mistake_gets_a_line_with_its_place_and_the_next_step() {
    let said = refused(
        "[Server]\nListen = \"somewhere\"\n[MetricCollector.Vmstat]\nIncludedOnHost = \"(\"\n\
         ExcludeOnHost = \"x\"\n",
    );
    assert_eq!(said.lines().count(), 3, "{said}");
    for part in [
        "agent.toml:2: Server.Listen: `somewhere` is not an address with a port",
        "agent.toml:4: MetricCollector.Vmstat.IncludedOnHost: `(` is not a regular expression",
        "agent.toml:5: MetricCollector.Vmstat.ExcludeOnHost: unknown key; did you mean \
         ExcludedOnHost?",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[test]
fn what_cannot_be_opened_is_said_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for (config, part) in [
        (
            format!("[Server]\nListen = \"127.0.0.1:{port}\"\n"),
            "Address already in use (os error 98); end what listens there, or choose another port",
        ),
        ("[Server]\nListen = \"192.0.2.1:19704\"\n".to_owned(), "choose an address of this host"),
        (
            "[Server]\nListen = \"127.0.0.1:0\"\n[Storage.LocalFile]\nPath = \"/proc/events\"\n"
                .to_owned(),
            "Storage.LocalFile.Path /proc/events: ",
        ),
        (
            "[Server]\nListen = \"127.0.0.1:0\"\n[Otlp]\nEndpoint = \"collector:4317\"\n"
                .to_owned(),
            "Otlp.Endpoint: `collector:4317` is not a URL; write e.g. http://127.0.0.1:4317",
        ),
        (
            "[Server]\nListen = \"127.0.0.1:0\"\n[Otlp]\nEndpoint = \"https://c:1\"\n\
             Certificate = \"/nowhere/ca.pem\"\n"
                .to_owned(),
            "Otlp.Certificate: cannot read /nowhere/ca.pem",
        ),
        (
            "[Server]\nListen = \"127.0.0.1:0\"\n[Log]\nFile = \"/proc/agent.log\"\n".to_owned(),
            "Log.File /proc/agent.log: ",
        ),
    ] {
        let said = refused(&config);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[test]
fn without_rights_files_are_read_and_verdicts_say_what_is_missing() {
    // `nobody` may not go through the folders that builds are made in.
    let binary = binary().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("huatuo-otel");
    fs::copy(binary, &copy).unwrap();
    let agent = Agent::with("").program(copy).user(65534).start().unwrap();
    assert!(agent.get("metrics").unwrap().contains("huatuo_bamai_loadavg_load1{"));
    let status = agent.status().unwrap();
    let probe = |name: &str| {
        let probes = status["probes"].as_array().unwrap();
        probes.iter().find(|probe| probe["probe"] == name).unwrap().clone()
    };
    assert_eq!(probe("cpu.loadavg")["state"], "attached");
    for name in ["cpu.runqlat", "memory.oom"] {
        assert_eq!(probe(name)["state"], "failed");
        let reason = probe(name)["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("CAP_BPF"), "{reason}");
    }
    let out = agent.output("out").unwrap();
    let cannot = out.lines().find(|line| line.starts_with("  cannot ")).unwrap_or_default();
    assert!(cannot.contains("cpu.runqlat, ") && cannot.contains(", memory.oom"), "{out}");
}

#[test]
fn check_tells_what_works_with_its_exit_code() {
    let output = Agent::with("").arg("check").run().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{table}");
    for part in ["PROBE", "cpu.runqlat  ", "/sched_switch", "reads files", " 0 failed"] {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
    let output = Agent::with("").arg("check").arg("--json").run().unwrap();
    let verdicts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(verdicts["probes"].as_array().unwrap().len() >= 6);
    let output = Agent::with("").arg("check").arg("--config-only").run().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let output = Agent::with("X = 1").arg("check").arg("--config-only").run().unwrap();
    assert_eq!(output.status.code(), Some(1));
    // Files of a host that has none: something enabled cannot run.
    let empty = tempfile::tempdir().unwrap();
    let prefix = empty.path().display().to_string();
    let output = Agent::with("").arg("check").arg("--procfs-prefix").arg(prefix).run().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

#[test]
fn a_probe_can_be_turned_off_by_either_name() {
    let agent = Agent::with("BlackList = [\"runqlat\"]")
        .arg("--disable-tracing")
        .arg("memory.oom")
        .start()
        .unwrap();
    let status = agent.status().unwrap();
    let disabled = status["probes"].as_array().unwrap().iter().filter(|p| p["state"] == "disabled");
    assert_eq!(disabled.count(), 2);
    assert!(!agent.get("metrics").unwrap().contains("runqlat"));
}

#[test]
fn the_end_comes_in_time_with_open_streams_and_an_endpoint_that_is_away() {
    let config = "[Otlp]\nEndpoint = \"http://127.0.0.1:1\"\n";
    let mut agent = Agent::with(config).start().unwrap();
    let _watch = integration::Watch::subscribe(&agent, "{}").unwrap();
    let (status, took) = agent.terminate().unwrap();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn another_root_stands_in_for_the_machine() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("proc");
    fs::create_dir_all(folder.join("net")).unwrap();
    fs::write(folder.join("loadavg"), "1.25 2.5 3.75 1/80 11206\n").unwrap();
    fs::write(folder.join("stat"), "cpu  10 0 20 70 0 0 0 0 0 0\ncpu0 1 2 3 4\nbtime 1000\n")
        .unwrap();
    fs::write(folder.join("vmstat"), "nr_free_pages 77\npgscan_direct 5\nnr_other 1\n").unwrap();
    fs::write(
        folder.join("net/dev"),
        "Inter-|\n face |\neth9: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
    )
    .unwrap();
    let prefix = root.path().display().to_string();
    let agent = Agent::with("").arg("--procfs-prefix").arg(prefix).start().unwrap();
    let page = agent.get("metrics").unwrap();
    for line in [
        "loadavg_load15{",
        "} 3.75\n",
        "memory_vmstat_nr_free_pages{",
        "} 77\n",
        "netdev_transmit_bytes_total{device=\"eth9\"",
        "} 9\n",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
    assert!(!page.contains("nr_other"), "the filter is for this file too");
}
