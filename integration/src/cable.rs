// SPDX-License-Identifier: Apache-2.0
//! Two network namespaces with a cable between them.

use std::fs;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::network::{succeed, within};
use crate::{Cgroup, Held, installed, wait_for};

/// A network namespace, by a process that holds it; gone with that.
pub struct Namespace(Held);

impl Namespace {
    /// Of a process in `cgroup`.
    pub fn of(cgroup: &Cgroup) -> Result<Self> {
        let held = cgroup.hold("unshare --net sleep 600")?;
        let inode = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net"));
        wait_for(Duration::from_secs(5), || {
            ensure!(inode("self")? != inode(&held.pid().to_string())?, "not yet");
            Ok(())
        })?;
        Ok(Self(held))
    }

    /// The process that holds it.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Runs `work` in a thread of its own that is in the namespace.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        within(&format!("/proc/{}/ns/net", self.pid()), work)
    }

    /// Runs `ip` in it.
    pub fn ip(&self, args: &str) -> Result<()> {
        let pid = self.pid().to_string();
        let mut enter = Command::new("nsenter");
        enter.args(["--net", "--target", &pid]).arg(installed("ip")?).args(args.split(' '));
        succeed(&mut enter)
    }
}

/// A client and a server. The client's end of the cable is `v0` with the addresses 10.9.0.1 and
/// fd09::1, the server's is `v1` with 10.9.0.2 and fd09::2.
pub struct Cable {
    /// Nobody's.
    pub client: Namespace,
    /// The container's.
    pub server: Namespace,
}

/// Of the client's end.
pub const CLIENT_MAC: &str = "02:00:00:00:00:01";
/// Of the server's end.
pub const SERVER_MAC: &str = "02:00:00:00:00:02";
/// Addresses of the server.
pub const SERVER: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(10, 9, 0, 2)),
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2)),
];

impl Cable {
    /// The server is in `container`, the client in `other`.
    pub fn between(other: &Cgroup, container: &Cgroup) -> Result<Self> {
        let cable = Self { client: Namespace::of(other)?, server: Namespace::of(container)? };
        let [one, two] = [&cable.client, &cable.server].map(|end| end.pid().to_string());
        let mut link = Command::new(installed("ip")?);
        link.args(["link", "add", "v0", "address", CLIENT_MAC, "netns", &one]);
        link.args(["type", "veth", "peer", "name", "v1", "address", SERVER_MAC, "netns", &two]);
        succeed(&mut link)?;
        for (number, end) in [&cable.client, &cable.server].into_iter().enumerate() {
            let address = number + 1;
            end.ip("link set lo up")?;
            end.ip(&format!("addr add 10.9.0.{address}/24 dev v{number}"))?;
            end.ip(&format!("addr add fd09::{address}/64 dev v{number} nodad"))?;
            end.ip(&format!("link set v{number} up"))?;
        }
        Ok(cable)
    }
}
