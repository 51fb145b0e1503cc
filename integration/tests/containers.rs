// SPDX-License-Identifier: Apache-2.0
//! Whose is it? Metrics of a container against the kernel's own files of its cgroup.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use integration::{
    Agent, Cgroup, Collector, LIMIT, Point, Received, bpf_entries, container_id, number,
    push_config,
};

const OOM: &str = "linux.memory.oom_kill";
const UID: &str = "275ecb36-5aa8-4c2a-9c47-d8bb681b9aff";

fn config(collector: &Collector) -> String {
    push_config("grpc", collector.grpc, "gzip", "http", "")
}

/// Points of one metric of one container, oldest first.
fn of<'a>(got: &'a Received, name: &str, id: &str) -> Vec<&'a Point> {
    let is_its = |point: &&&Point| point.resource.get("container.id").is_some_and(|of| of == id);
    // With the last one, which has no value.
    got.of(name).iter().filter(is_its).copied().collect()
}

fn last<'a>(got: &'a Received, name: &str, id: &str) -> Result<&'a Point> {
    of(got, name, id).last().copied().with_context(|| format!("{name} has not come"))
}

/// CPU seconds of the cgroup as the kernel says.
fn cpu_time(cgroup: &Cgroup) -> f64 {
    if cgroup.is_v1() {
        cgroup.read("cpuacct", "cpuacct.usage").unwrap().trim().parse::<f64>().unwrap() / 1e9
    } else {
        number(&cgroup.read("cpu", "cpu.stat").unwrap(), "usage_usec").unwrap() as f64 / 1e6
    }
}

#[test]
fn a_container_that_is_held_to_one_cpu_is_allotted_one() {
    let collector = Collector::start(None).unwrap();
    let _agent = Agent::with(&config(&collector)).start().unwrap();
    let (bound, free) = (container_id(0x62), container_id(0x63));
    let _bound = Cgroup::with_cpus(&format!("docker/{bound}"), "1").unwrap();
    let _free = Cgroup::with_cpu(&format!("docker/{free}"), 1000).unwrap();
    let allotted = |id: &str| {
        collector.until(|got| Ok(last(got, "linux.cgroup.cpu.allotted", id)?.value)).unwrap()
    };
    assert_eq!(allotted(&bound), 1.0);
    // Of a quota of ten.
    let online = std::thread::available_parallelism().unwrap().get() as f64;
    assert_eq!(allotted(&free), online);
}

#[test]
fn cpu_time_and_quota_of_a_pods_container_are_the_kernels() {
    let collector = Collector::start(None).unwrap();
    let agent = Agent::with(&config(&collector)).start().unwrap();
    let id = container_id(0x61);
    let path = format!("kubepods/burstable/pod{UID}/{id}");
    let cgroup = Cgroup::with_cpu(&path, 50).unwrap();
    let begin = integration::unix_now();
    cgroup.run("timeout 5 sh -c 'while :; do :; done'", 1).unwrap();
    let spent = cpu_time(&cgroup);
    let got = collector
        .until(|got| {
            // The process has ended: what comes now is the whole of it.
            let after = last(got, "container.cpu.time", &id)?.time > begin + 6_500_000_000;
            ensure!(after, "not yet");
            collector.received()
        })
        .unwrap();
    let mode = |name: &str, mode: &str| {
        let is_it = |point: &&&Point| point.attributes["cpu.mode"] == mode;
        of(&got, name, &id).iter().rfind(is_it).map(|point| (*point).clone()).unwrap()
    };
    let (user, system) = (mode("container.cpu.time", "user"), mode("container.cpu.time", "system"));
    let ours = user.value + system.value;
    // v1 rounds user and system time to clock ticks of 10 ms.
    assert!((ours - spent).abs() < 0.03, "ours {ours}, the kernel's {spent}");
    assert!((2.0..3.0).contains(&spent), "half a CPU for five seconds: {spent}");
    assert_eq!(user.resource["k8s.pod.uid"], UID);
    assert_eq!(user.resource["k8s.pod.qos_class"], "Burstable");
    assert_eq!(user.start, system.start);
    assert!(user.start >= begin - 2_000_000_000, "counts since the container started");
    assert!(user.start < begin + 3_000_000_000);

    assert_eq!(last(&got, "linux.cgroup.cpu.limit", &id).unwrap().value, 0.5);
    assert_eq!(last(&got, "linux.cgroup.cpu.allotted", &id).unwrap().value, 0.5);
    let stat = cgroup.read("cpu", "cpu.stat").unwrap();
    for (name, word) in [
        ("linux.cgroup.cpu.periods", "nr_periods"),
        ("linux.cgroup.cpu.throttled.periods", "nr_throttled"),
    ] {
        let kernel = number(&stat, word).unwrap() as f64;
        assert!(kernel > 20.0, "{word} {kernel}");
        assert_eq!(last(&got, name, &id).unwrap().value, kernel, "{name}");
    }
    let throttled = last(&got, "linux.cgroup.cpu.throttled.time", &id).unwrap();
    assert!((1.0..3.5).contains(&throttled.value), "{} s", throttled.value);
    // In emulation the kernel itself takes most of it, and a push is of twice the time.
    let mut shares = BTreeMap::<u64, f64>::new();
    for point in of(&got, "linux.cgroup.cpu.utilization", &id) {
        *shares.entry(point.time).or_default() += point.value;
    }
    let most = shares.values().copied().fold(0.0, f64::max);
    let least = if integration::slowness() > 1 { 0.2 } else { 0.7 };
    assert!((least..1.15).contains(&most), "its whole quota was used: {most}");
    drop(agent);
}

#[test]
fn memory_of_a_container_is_the_kernels_and_its_series_end_with_it() {
    let collector = Collector::start(None).unwrap();
    let agent = Agent::with(&config(&collector)).start().unwrap();
    let id = container_id(0x62);
    let mut cgroup = Cgroup::new(&format!("docker/{id}")).unwrap();
    // 20 MB in a variable of a shell, which stops itself and holds them until it is killed.
    let fill = "sh -c 'x=$(head -c 20000000 /dev/zero | tr \"\\\\0\" x); kill -STOP $$'";
    let held = cgroup.hold(fill).unwrap();
    let (kernel, ours) = collector
        .until(|got| {
            let anon = last(got, "container.memory.rss", &id)?;
            ensure!(anon.value > 15e6, "{} bytes", anon.value);
            let text = cgroup.read("memory", "memory.stat")?;
            let word = if cgroup.is_v1() { "total_rss" } else { "anon" };
            let kernel = number(&text, word)? as f64;
            // It may still grow.
            let off = anon.value / kernel - 1.0;
            ensure!(off.abs() < 0.1, "ours {}, the kernel's {kernel}", anon.value);
            Ok((kernel, collector.received()?))
        })
        .unwrap();
    let rss = last(&ours, "container.memory.rss", &id).unwrap();
    assert!((rss.value / kernel - 1.0).abs() < 0.1, "ours {}, the kernel's {kernel}", rss.value);
    let usage = last(&ours, "container.memory.usage", &id).unwrap().value;
    let working_set = last(&ours, "container.memory.working_set", &id).unwrap().value;
    assert!(usage >= working_set && working_set >= rss.value * 0.9);
    let active = last(&ours, "linux.cgroup.memory.stat.active_anon", &id).unwrap();
    assert_eq!((active.unit.as_str(), active.is_monotonic), ("By", false));
    let page = agent.get("metrics").unwrap();
    let short = &id[..12];
    let series = format!("memory_vmstat_container_active_anon{{container_host=\"{short}\"");
    assert!(page.contains(&series), "{series}");

    drop(held);
    cgroup.remove().unwrap();
    let end = collector.until(|got| Ok(last(got, "container.memory.usage", &id)?.time)).unwrap();
    collector
        .until(|got| {
            let newest = got.last("system.cpu.load_average.1m")?.time;
            ensure!(newest > end + 3_000_000_000, "not yet");
            let last = last(got, "container.memory.usage", &id)?.time;
            ensure!(last < newest - 1_000_000_000, "its series go on");
            let points = of(got, "container.memory.usage", &id);
            let ended = points.iter().filter(|point| point.ended).count();
            ensure!(ended == 1 && points[points.len() - 1].ended, "the end is told once");
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_victim_whose_container_is_gone_at_once_is_told_of_all_the_same() {
    let collector = Collector::start(None).unwrap();
    let agent = Agent::with(&config(&collector)).start().unwrap();
    for seed in 0x20..0x28 {
        let id = container_id(seed);
        let is_pods = seed % 2 == 0;
        let parent = if is_pods { format!("kubepods/pod{UID}") } else { "docker".to_owned() };
        let mut cgroup = Cgroup::new(&format!("{parent}/{id}")).unwrap();
        let killed = cgroup.kill_one().unwrap();
        cgroup.remove().unwrap();
        let pid = killed.pid.to_string();
        let record = collector.until(|got| Ok(got.event(OOM, "process.pid", &pid)?.clone()));
        let record = record.unwrap();
        assert_eq!(record.resource["container.id"], id);
        assert_eq!(record.resource.get("k8s.pod.uid").is_some_and(|uid| uid == UID), is_pods);
        assert_eq!(record.attributes["linux.oom.trigger.container.id"], id);
        // As the kernel recorded it: nobody else knows any more.
        assert_eq!(record.attributes["linux.oom.victim.cgroup.limit"], LIMIT);
    }
    collector
        .until(|got| {
            let counted: BTreeSet<_> = got
                .of("linux.cgroup.memory.oom_kills")
                .iter()
                .map(|point| point.resource["container.id"].clone())
                .collect();
            ensure!(counted.len() == 8, "{} of 8 are counted", counted.len());
            Ok(())
        })
        .unwrap();
    assert_eq!(agent.series("oom_host_total{host=\"\",region=\"dev\"}").ok(), None);
}

#[test]
fn a_container_at_its_limit_is_counted_by_the_kernels_words() {
    let collector = Collector::start(None).unwrap();
    let agent = Agent::with(&config(&collector)).start().unwrap();
    let id = container_id(0x63);
    let cgroup = Cgroup::new(&format!("docker/{id}")).unwrap();
    cgroup.kill_one().unwrap();
    collector.until(|got| Ok(last(got, "container.memory.usage", &id)?.time)).unwrap();
    let killed = |got: &Received| {
        let is_kill =
            |point: &&&Point| point.attributes["linux.cgroup.memory.event.name"] == "oom_kill";
        of(got, "linux.cgroup.memory.events", &id).iter().rfind(is_kill).map(|point| point.value)
    };
    if cgroup.is_v1() {
        // Mainline v1 has no such file: absent is not zero.
        assert_eq!(killed(&collector.received().unwrap()), None);
    } else {
        collector
            .until(|got| {
                ensure!(killed(got) == Some(1.0), "{:?}", killed(got));
                last(got, "linux.cgroup.pressure.time", &id).map(drop)
            })
            .unwrap();
    }
    drop(agent);
}

#[test]
fn a_filter_leaves_out_metrics_and_no_events() {
    let collector = Collector::start(None).unwrap();
    let filter = "[[Container.Filter.Excluded]]\nField = \"container_qos\"\nPattern = \"best\"\n";
    let agent = Agent::with(&format!("{}{filter}", config(&collector))).start().unwrap();
    let [wanted, other] = [0x71, 0x72].map(container_id);
    let of =
        |class: &str, id: &str| Cgroup::new(&format!("kubepods/{class}/pod{UID}/{id}")).unwrap();
    let (_wanted, cgroup) = (of("burstable", &wanted), of("besteffort", &other));
    let pid = cgroup.kill_one().unwrap().pid.to_string();
    let record = collector.until(|got| Ok(got.event(OOM, "process.pid", &pid)?.clone())).unwrap();
    assert_eq!(record.resource["container.id"], other);
    let usage = "container.memory.usage";
    collector.until(|got| Ok(last(got, usage, &wanted)?.time)).unwrap();
    let got = collector.received().unwrap();
    let is_others = |point: &&Point| point.resource.get("container.id") == Some(&other);
    assert!(got.points.iter().find(is_others).is_none(), "its metrics are not wanted");
    drop(agent);
}

#[test]
fn a_word_of_huatuos_turns_off_what_it_is_for_of_the_host_and_of_containers() {
    const WORDS: [&str; 4] = ["cpu_util", "cpu_stat", "loadavg", "memory_vmstat"];
    let cgroup = Cgroup::with_cpu(&format!("docker/{}", container_id(0x81)), 50).unwrap();
    let _held = cgroup.hold("sleep 600").unwrap();
    let is_of = |family: &str, word: &str| family.starts_with(&format!("{word}_"));
    // Of those words; others come and go with what the machine does.
    let families = |word: &str| -> BTreeSet<String> {
        let list = format!("BlackList = [\"netdev_hw\", \"metax_gpu\", \"{word}\"]\n");
        let agent = Agent::with(&list).start().unwrap();
        // Shares are of the time between two readings.
        agent.get("metrics").unwrap();
        let page = agent.get("metrics").unwrap();
        let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE huatuo_bamai_"));
        let names = types.filter_map(|line| Some(line.split_once(' ')?.0));
        names.filter(|name| WORDS.iter().any(|word| is_of(name, word))).map(str::to_owned).collect()
    };
    let all = families("ascend_npu");
    for word in WORDS {
        let (off, on): (BTreeSet<_>, BTreeSet<_>) = all.iter().partition(|name| is_of(name, word));
        assert!(off.iter().any(|name| name.contains("_container_")), "{word}: {off:?}");
        assert_eq!(families(word).iter().collect::<BTreeSet<_>>(), on, "without {word}");
    }
}

#[test]
fn containers_that_come_and_go_leave_nothing_behind() {
    let agent = Agent::with("[Container]\nKeepEnded = 1\n").start().unwrap();
    let page = || agent.get("metrics").unwrap();
    let named = || names_of(&page());
    let (others, running) = (named(), agent.containers().unwrap());
    let before = bpf_entries(agent.pid()).unwrap();
    for number in 0..200 {
        let path = format!("kubepods/burstable/pod{UID}/{number:08x}{:056x}", 0);
        let mut cgroup = Cgroup::new(&path).unwrap();
        cgroup.run("true", 1).unwrap();
        cgroup.remove().unwrap();
        if number % 50 == 0 {
            page();
        }
    }
    integration::wait_for(std::time::Duration::from_secs(10), || {
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let left = named();
        let census = agent.status()?["containers"].clone();
        ensure!(census["running"] == running && census["ended"] == 0, "{census}");
        ensure!(left == others, "series of {left:?}, before of {others:?}");
        let entries = bpf_entries(agent.pid())?;
        ensure!(entries <= before + 2, "{entries} entries in maps by cgroup, {before} before");
        let watches = watches(agent.pid())?;
        ensure!(watches as u64 <= census["cgroups"].as_u64().unwrap_or(0), "{watches} watches");
        Ok(())
    })
    .unwrap();
}

/// Containers with series on the page.
fn names_of(page: &str) -> BTreeSet<String> {
    let behind = page.split("container_name=\"").skip(1);
    behind.filter_map(|text| Some(text.split_once('"')?.0.to_owned())).collect()
}

/// Folders that a process watches (`/proc/<pid>/fdinfo`).
fn watches(pid: u32) -> Result<usize> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fdinfo"))?;
    let texts = files.flatten().filter_map(|file| std::fs::read_to_string(file.path()).ok());
    Ok(texts.map(|text| text.lines().filter(|line| line.starts_with("inotify ")).count()).sum())
}

#[test]
fn a_victim_outside_of_containers_belongs_to_the_host() {
    let collector = Collector::start(None).unwrap();
    let agent = Agent::with(&config(&collector)).start().unwrap();
    let cgroup = Cgroup::new("huatuo-test").unwrap();
    let pid = cgroup.kill_one().unwrap().pid.to_string();
    let record = collector.until(|got| Ok(got.event(OOM, "process.pid", &pid)?.clone())).unwrap();
    assert!(!record.resource.contains_key("container.id"));
    assert_eq!(record.attributes["cloudevents.event_subject"], record.resource["host.name"]);
    assert_eq!(record.attributes["process.linux.cgroup"], "/huatuo-test");
    collector
        .until(|got| {
            let counted = got.last("linux.memory.oom_kills")?;
            ensure!(counted.value == 1.0, "{}", counted.value);
            Ok(())
        })
        .unwrap();
    drop(agent);
}

#[test]
fn waits_of_a_container_are_its_own() {
    let collector = Collector::start(None).unwrap();
    let agent = Agent::with(&config(&collector)).start().unwrap();
    let id = container_id(0x51);
    let cgroup = Cgroup::new(&format!("docker/{id}/nested")).unwrap();
    // More busy tasks than CPUs, so that they wait for each other.
    let cpus = std::thread::available_parallelism().unwrap().get();
    let seconds = 3 * integration::push_interval();
    let busy = format!("timeout {seconds} sh -c 'while :; do :; done'");
    cgroup.run(&busy, 2 * cpus).unwrap();
    let name = "linux.cgroup.cpu.runqueue.wait.duration";
    let is_ours = |point: &&&Point| point.resource["container.id"] == id;
    let (first, last) = collector
        .until(|got| {
            let points = got.of(name);
            let ours: Vec<_> = points.iter().filter(is_ours).collect();
            ensure!(ours.len() >= 3, "{} points", ours.len());
            Ok(((**ours[0]).clone(), (**ours[ours.len() - 1]).clone()))
        })
        .unwrap();
    assert_eq!(last.buckets.iter().sum::<u64>(), last.count);
    assert_eq!(first.start, last.start);
    let waited = (last.sum - first.sum) / (last.time - first.time) as f64 * 1e9;
    // Twice as many tasks as CPUs wait as much as they run.
    assert!((0.5..1.5).contains(&(waited / cpus as f64)), "{waited} s per second");
    drop(agent);
}
