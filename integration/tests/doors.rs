// SPDX-License-Identifier: Apache-2.0
//! HUATUO's doors with their real users: Prometheus, a subscriber, a log shipper.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::ensure;
use integration::{Agent, Cgroup, Watch, container_id, free_port, get, installed, wait_for};
use serde_json::Value as Json;

fn promtool(page: &str) -> String {
    let program = installed("promtool").unwrap();
    let mut child = Command::new(program)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// HUATUO's names break some of promtool's advice; they are what dashboards expect.
fn is_expected(complaint: &str) -> bool {
    let known = [
        "non-counter metrics should not have \"_total\" suffix",
        "counter metrics should have \"_total\" suffix",
        "metric names should not contain abbreviated units",
        "metric name should not include type",
        // Words of the kernel: netstat_TcpExt_ListenDrops.
        "metric names should be written in 'snake_case' not 'camelCase'",
    ];
    complaint.is_empty() || known.iter().any(|known| complaint.contains(known))
}

#[test]
fn promtool_can_read_the_page() {
    let agent = Agent::with("").start().unwrap();
    agent.get("metrics").unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    let page = agent.get("metrics").unwrap();
    assert!(page.contains("cpu_util_total"), "there since the second collection");
    let said = promtool(&page);
    let surprises: Vec<&str> = said.lines().filter(|line| !is_expected(line)).collect();
    assert!(surprises.is_empty(), "{surprises:#?}");
}

#[test]
fn a_real_prometheus_scrapes_it() {
    let agent = Agent::with("Region = \"dev\"").start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let target = agent.url.trim_start_matches("http://").trim_end_matches('/');
    let config = format!(
        "global: {{ scrape_interval: 500ms }}\nscrape_configs:\n\
         - {{ job_name: huatuo, static_configs: [{{ targets: ['{target}'] }}] }}\n"
    );
    fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let port = free_port().unwrap();
    let mut prometheus = Command::new(installed("prometheus").unwrap())
        .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ask = |query: &str| -> anyhow::Result<Json> {
        let answer = get(&format!("http://127.0.0.1:{port}/api/v1/query?query={query}"))?;
        let answer: Json = serde_json::from_str(&answer)?;
        let found = answer["data"]["result"][0].clone();
        ensure!(!found.is_null(), "{query}: nothing yet");
        Ok(found)
    };
    let waits = wait_for(Duration::from_secs(20), || {
        ensure!(ask("up")?["value"][1] == "1", "down");
        ask("huatuo_bamai_runqlat_latency%7Bzone=%220%22%7D")
    });
    let disk = wait_for(Duration::from_secs(10), || ask("huatuo_bamai_netdev_receive_bytes_total"));
    let _ = prometheus.kill();
    let _ = prometheus.wait();
    let waits = waits.unwrap();
    assert_eq!(waits["metric"]["region"], "dev");
    assert!(waits["value"][1].as_str().unwrap().parse::<f64>().unwrap() > 0.0);
    assert!(disk.unwrap()["metric"]["device"].is_string());
}

#[test]
fn an_oom_kill_reaches_subscriber_file_and_page_with_all_its_fields() {
    let agent = Agent::with("Region = \"dev\"").start().unwrap();
    let all = Watch::subscribe(&agent, "{}").unwrap();
    let ours = Watch::subscribe(&agent, r#"{"filters":{"tracer_name":"^oom$","region":"dev"}}"#);
    let none = Watch::subscribe(&agent, r#"{"filters":{"tracer_name":"netdev_txqueue_timeout"}}"#)
        .unwrap();
    let id = container_id(0x41);
    let cgroup = Cgroup::new(&format!("docker/{id}")).unwrap();
    let pid = cgroup.kill_one().unwrap().pid;

    let (_, event) = all.next().unwrap();
    assert_eq!(ours.unwrap().next().unwrap().1, event);
    assert_eq!(event["type"], "tech.huatuo.kernel.event");
    assert_eq!(event["subject"], id);
    let data = &event["data"];
    assert_eq!((&data["tracer_name"], &data["region"]), (&"oom".into(), &"dev".into()));
    assert_eq!(data["container_id"], id);
    check_tracer_data(&data["tracer_data"], pid, &id);

    let path = agent.event_file("oom");
    let document = wait_for(Duration::from_secs(5), || {
        let text = fs::read_to_string(&path)?;
        Ok(serde_json::from_str::<Json>(text.lines().last().unwrap_or_default())?)
    });
    let document = document.unwrap();
    assert_eq!(document["tracer_id"], event["id"]);
    assert_eq!(document["tracer_type"], "auto");
    assert_eq!(document["tracer_data"], data["tracer_data"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let host = data["hostname"].as_str().unwrap();
    let short = &id[..12];
    let series = format!(
        "oom_container_total{{container_host=\"{short}\",container_hostnamespace=\"\",\
         container_level=\"\",container_name=\"{short}\",container_type=\"normal\",host=\"{host}\",\
         region=\"dev\"}}"
    );
    let count = wait_for(Duration::from_secs(5), || agent.series(&series)).unwrap();
    assert_eq!(count, 1.0);
    assert!(none.next().is_err(), "a subscriber got what it did not ask for");
}

fn check_tracer_data(data: &Json, pid: u32, container: &str) {
    assert_eq!(data.as_object().unwrap().len(), 10);
    for party in ["victim", "trigger"] {
        assert_eq!(data[format!("{party}_process_name")], "tail");
        assert_eq!(data[format!("{party}_container_id")], container);
        assert_eq!(data[format!("{party}_pid")], pid);
        let css = data[format!("{party}_memcg_css")].as_str().unwrap();
        assert!(css.starts_with("0x") && css.len() > 2, "{css}");
        assert!(data[format!("{party}_container_hostname")].is_string());
    }
}

#[test]
fn events_can_be_followed_in_the_terminal() {
    let agent = Agent::with("").start().unwrap();
    let out = agent.folder.path().join("followed");
    let mut follower = Command::new(integration::binary().unwrap())
        .args(["events", "--tracer-name", "^oom$", "--url", &agent.url])
        .stdout(fs::File::create(&out).unwrap())
        .spawn()
        .unwrap();
    wait_for(Duration::from_secs(5), || {
        ensure!(agent.status()?["watch_clients"] == 1, "not there yet");
        Ok(())
    })
    .unwrap();
    let cgroup = Cgroup::new("huatuo-follow").unwrap();
    let pid = cgroup.kill_one().unwrap().pid;
    let line = wait_for(Duration::from_secs(5), || {
        let text = fs::read_to_string(&out)?;
        ensure!(text.ends_with('\n'), "nothing yet");
        Ok(text)
    });
    let _ = follower.kill();
    let _ = follower.wait();
    let line = line.unwrap();
    assert!(line.contains("  oom  ") && line.contains(&format!("victim_pid={pid}")), "{line}");
}
