// SPDX-License-Identifier: Apache-2.0
//! The event of bonds, between two of them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, ensure};
use integration::lab::is_elsewhere;
use integration::{
    Agent, Collector, Network, Received, Record, ip, only, push_config, unix_now, wait_for,
};

/// Two bonds, one in each network, joined by two pairs of devices.
fn join_bonds(far: &Network) {
    for port in ["p0", "p1"] {
        ip(&["link", "add", port, "type", "veth", "peer", "name", port, "netns", far.name()])
            .unwrap();
    }
    for network in [&[][..], &["-n", far.name()]] {
        let run = |args: &[&str]| ip(&[network, args].concat()).unwrap();
        let options = ["mode", "802.3ad", "miimon", "100", "lacp_rate", "fast"];
        run(&[&["link", "add", "bond0", "type", "bond"][..], &options].concat());
        for port in ["p0", "p1"] {
            run(&["link", "set", port, "master", "bond0"]);
        }
        run(&["link", "set", "bond0", "up"]);
    }
}

/// Waits for the first event since then that tells this of one of these ports. Ports may leave and
/// join again while a bond comes together.
fn lacp(collector: &Collector, ports: &[&str], state: &str, since: u64) -> Record {
    let record = collector
        .until(|got| {
            let of = |record: &&Record| {
                record.event_name == "linux.network.bond.lacp.state_changed"
                    && record.time >= since
                    && ports.contains(&&*record.attributes["linux.network.bond.port.name"])
                    && record.attributes["linux.network.bond.lacp.state"] == state
            };
            let found = got.records.iter().find(of).cloned();
            found.with_context(|| format!("{ports:?} not {state}: {:#?}", got.records))
        })
        .unwrap();
    assert_eq!(record.attributes["network.interface.name"], "bond0");
    record
}

/// Waits until the kernel says that both ends of so many ports collect and distribute.
fn wait_for_ports(count: usize) {
    wait_for(Duration::from_secs(20), || {
        let text = fs::read_to_string("/proc/thread-self/net/bonding/bond0")?;
        let found = text.matches("port state: 63\n").count();
        ensure!(found == 2 * count, "{text}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn ports_that_leave_and_join_the_aggregation_are_told() {
    if is_elsewhere("events_lacp", "the module bonding") {
        return;
    }
    let (near, far) = (Network::new("near").unwrap(), Network::new("far").unwrap());
    near.run(|| {
        let collector = Collector::start(None).unwrap();
        // Before there is a bond.
        let config = push_config("grpc", collector.grpc, "gzip", "http", "");
        let agent = Agent::with(&format!("{}{config}", only(&["network.lacp"]))).start().unwrap();
        join_bonds(&far);
        wait_for_ports(2);
        // The kernel is silent about one that is active before it finds its partner.
        let both = ["p0", "p1"];
        assert_eq!(lacp(&collector, &both, "enabled", 0).severity, 9);

        // Longer than a partner may be silent (three seconds).
        let since = unix_now();
        sleep(Duration::from_secs(5));
        let got = collector.settled().unwrap();
        let is_lost = |record: &&Record| record.time >= since && record.body.contains("disabled");
        assert_eq!(got.records.iter().find(is_lost).map(|record| &record.body), None);

        // A partner that is not heard any more, over a link that stays.
        let since = unix_now();
        tc(&far, &["qdisc", "add", "dev", "p1", "root", "netem", "loss", "100%"]);
        let record = lacp(&collector, &["p1"], "disabled", since);
        assert_eq!(record.severity, 13);
        assert!(record.attributes["linux.network.bond.mode"].starts_with("IEEE 802.3ad"));
        assert_eq!(record.attributes["linux.network.bond.mii_status"], "up");
        assert!(record.attributes["linux.network.bond.ports"].contains("partner_state"));
        let text = &record.attributes["log.record.original"];
        assert!(text.starts_with("/proc/net/bonding/bond0\nEthernet Channel Bonding Driver: "));
        let data = agent.document("netdev_bonding_lacp", &record).unwrap();
        assert!(data["tracer_data"]["content"].as_str().unwrap().contains("Slave Interface: p1"));

        // A link that is lost, the last one.
        let since = unix_now();
        ip(&["-n", far.name(), "link", "set", "p0", "down"]).unwrap();
        assert_eq!(lacp(&collector, &["p0"], "disabled", since).severity, 17);
        let told = |got: &Received| {
            got.records.iter().filter(|record| record.body.contains("disabled")).count()
        };
        collector
            .until(|got| {
                let disabled = told(got);
                let page = agent.get("metrics")?;
                let is_it =
                    |line: &&str| line.starts_with("huatuo_bamai_netdev_bonding_lacp_total{");
                let line = page.lines().find(is_it).context("no bond")?;
                ensure!(disabled >= 2 && line.ends_with(&format!(" {disabled}")), "{line}");
                Ok(())
            })
            .unwrap();

        let since = unix_now();
        tc(&far, &["qdisc", "del", "dev", "p1", "root"]);
        ip(&["-n", far.name(), "link", "set", "p0", "up"]).unwrap();
        wait_for_ports(2);
        lacp(&collector, &both, "enabled", since);
    });
}

fn tc(network: &Network, args: &[&str]) {
    let output = std::process::Command::new(integration::installed("tc").unwrap())
        .args(["-n", network.name()])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
