// SPDX-License-Identifier: Apache-2.0
//! A container with a network of its own, somebody that it is connected to, and an agent.

use std::net::{IpAddr, TcpListener, TcpStream};

use anyhow::Result;

use crate::{Agent, Cable, Cgroup, Collector, container_id, only, push_config};

/// All of that; gone when dropped.
pub struct Scene {
    /// Between the container, which is the server, and the client.
    pub cable: Cable,
    /// The container's.
    pub id: String,
    /// What the agent pushes to.
    pub collector: Collector,
    /// With the probes of packets.
    pub agent: Agent,
    _cgroups: [Cgroup; 2],
}

impl Scene {
    /// Ids of the container and of the client's are made of `seed`; `more` of the configuration.
    pub fn new(seed: u8, more: &str) -> Result<Self> {
        let collector = Collector::start(None)?;
        let push = push_config("grpc", collector.grpc, "gzip", "http", "");
        let only = only(&["network.dropwatch", "network.receive_latency"]);
        let (id, other) = (container_id(seed), container_id(seed + 1));
        let cgroup = |id: &str| Cgroup::new(&format!("docker/{id}"));
        let cgroups = [cgroup(&id)?, cgroup(&other)?];
        let cable = Cable::between(&cgroups[1], &cgroups[0])?;
        let agent = Agent::with(&format!("{only}{push}{more}")).start()?;
        Ok(Self { cable, id, collector, agent, _cgroups: cgroups })
    }

    /// A connection from the client to a server that listens on `address`, both ends.
    pub fn connection(&self, address: IpAddr) -> Result<(TcpStream, TcpStream)> {
        let listener = self.cable.server.run(|| TcpListener::bind((address, 0)))??;
        let end = listener.local_addr()?;
        let client = self.cable.client.run(|| TcpStream::connect(end))??;
        Ok((client, listener.accept()?.0))
    }
}
