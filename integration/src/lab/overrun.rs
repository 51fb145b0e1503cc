// SPDX-License-Identifier: Apache-2.0
//! Two cards of the guest on one cable, and packets that the second has no room for.

use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::network::{CutOff, interface_of};
use super::{modprobe, shell};
use crate::wait_for;

const SENDER: &str = "e1000";
const RECEIVER: &str = "vmxnet3";

/// Both cards, up; without their drivers again when dropped.
pub struct Overrun {
    sender: String,
    /// The interface that receives.
    pub receiver: String,
}

impl Overrun {
    /// Loads their drivers, and waits for both carriers.
    pub fn ready() -> Result<Self> {
        let [sender, receiver] = [SENDER, RECEIVER].map(up);
        let overrun = Self { sender: sender?, receiver: receiver? };
        let sender = &overrun.sender;
        shell(&format!(
            "ip addr add 10.8.0.1/24 dev {sender} && \
             ip neigh replace 10.8.0.2 lladdr ff:ff:ff:ff:ff:ff dev {sender}"
        ))?;
        Ok(overrun)
    }

    /// Sends datagrams while the receiver cannot reach its descriptors.
    pub fn drop_packets(&self, count: u64) -> Result<()> {
        let before = self.count(&self.sender, "tx_packets")?;
        let cut_off = CutOff::new(&self.receiver)?;
        let socket = UdpSocket::bind("10.8.0.1:0")?;
        for _ in 0..count {
            socket.send_to(b"dropped", "10.8.0.2:9")?;
        }
        wait_for(Duration::from_secs(5), || {
            let sent = self.count(&self.sender, "tx_packets")? - before;
            ensure!(sent >= count, "{sent} of {count} packets are sent");
            Ok(())
        })?;
        drop(cut_off);
        Ok(())
    }

    /// What the kernel counted of the receiver.
    pub fn received(&self, statistic: &str) -> Result<u64> {
        self.count(&self.receiver, statistic)
    }

    fn count(&self, interface: &str, statistic: &str) -> Result<u64> {
        let path = format!("/sys/class/net/{interface}/statistics/{statistic}");
        Ok(fs::read_to_string(path)?.trim().parse()?)
    }
}

impl Drop for Overrun {
    fn drop(&mut self) {
        let _ = shell(&format!("modprobe -r {SENDER} {RECEIVER}"));
    }
}

/// Without IPv6, which sends by itself.
fn up(driver: &str) -> Result<String> {
    modprobe(driver)?;
    let name = wait_for(Duration::from_secs(5), || {
        interface_of(driver)?.with_context(|| format!("{driver} has no interface"))
    })?;
    shell(&format!("echo 1 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6"))?;
    shell(&format!("ip link set {name} up"))?;
    wait_for(Duration::from_secs(6), || {
        let carrier = fs::read_to_string(format!("/sys/class/net/{name}/carrier"))?;
        ensure!(carrier.trim() == "1", "{name} has no carrier");
        Ok(())
    })?;
    Ok(name)
}
