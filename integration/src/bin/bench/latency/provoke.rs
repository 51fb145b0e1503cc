// SPDX-License-Identifier: Apache-2.0
//! Events that can be made to happen, one at a time.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use integration::lab::HungTask;
use integration::{Burner, Cgroup, container_id, free_port, ip};
use semconv::{EventDef, event};

/// Makes an event happen. What it returns is when, where the record cannot tell: its time is when the
/// agent heard of it.
pub type Provoke = Box<dyn FnMut() -> Result<Option<SystemTime>>>;

/// An event that can be made to happen.
pub struct Provocation {
    pub event: &'static EventDef,
    /// Of the agent.
    pub config: &'static str,
    pub begin: fn() -> Result<Provoke>,
    /// Times with one agent, and agents.
    pub rounds: usize,
    pub agents: usize,
}

const ROUNDS: usize = 120;

pub const PROVOCATIONS: [Provocation; 7] = [
    Provocation {
        event: &event::LINUX_MEMORY_OOM_KILL,
        config: "",
        begin: oom,
        rounds: ROUNDS,
        agents: 1,
    },
    Provocation {
        event: &event::LINUX_NETWORK_PACKET_DROPPED,
        config: "",
        begin: closed_port,
        rounds: ROUNDS,
        agents: 1,
    },
    Provocation {
        event: &event::LINUX_NETWORK_RECEIVE_DELAYED,
        config: "[EventTracing.NetRxLatency]\nExcludedHostNetnamespace = false\n",
        begin: late_reader,
        rounds: ROUNDS,
        agents: 1,
    },
    Provocation {
        event: &event::LINUX_NETWORK_INTERFACE_STATE_CHANGED,
        config: "[EventTracing.Netdev]\nDeviceList = [\"latency0\"]\n",
        begin: link,
        rounds: ROUNDS,
        agents: 1,
    },
    Provocation {
        event: &event::LINUX_MEMORY_DIRECT_RECLAIM_STALL,
        config: "[EventTracing.MemoryReclaim]\nBlockedThreshold = 1000000\n",
        begin: reclaim,
        rounds: ROUNDS,
        agents: 1,
    },
    Provocation {
        event: &event::LINUX_SOFTIRQ_DISABLED,
        config: "",
        begin: softirq,
        rounds: ROUNDS,
        agents: 1,
    },
    // Only the first is told in ten minutes.
    Provocation {
        event: &event::LINUX_KERNEL_HUNG_TASK,
        config: "",
        begin: hung_task,
        rounds: 1,
        agents: 12,
    },
];

fn oom() -> Result<Provoke> {
    let cgroup = Cgroup::new("huatuo-bench")?;
    Ok(Box::new(move || cgroup.kill_one().map(|_| None)))
}

fn closed_port() -> Result<Provoke> {
    Ok(Box::new(|| {
        let connected = TcpStream::connect(("127.0.0.1", free_port()?));
        ensure!(connected.is_err(), "somebody listens");
        Ok(None)
    }))
}

fn late_reader() -> Result<Provoke> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (mut reader, _) = listener.accept()?;
    Ok(Box::new(move || {
        sender.write_all(&[0])?;
        sleep(Duration::from_millis(120));
        reader.read_exact(&mut [0])?;
        Ok(None)
    }))
}

fn link() -> Result<Provoke> {
    ip(&["link", "add", "latency0", "type", "veth", "peer", "name", "latency1"])?;
    let mut mtu = 1400;
    Ok(Box::new(move || {
        mtu += 1;
        let start = SystemTime::now();
        ip(&["link", "set", "dev", "latency0", "mtu", &mtu.to_string()])?;
        Ok(Some(start))
    }))
}

fn reclaim() -> Result<Provoke> {
    let cgroup = Cgroup::new(&format!("docker/{}", container_id(0xd8)))?;
    Ok(Box::new(move || cgroup.take_page_cache(100, 1).map(|()| None)))
}

fn softirq() -> Result<Provoke> {
    let burner = Burner::attach()?;
    Ok(Box::new(move || burner.burn("softirq 40").map(|_| None)))
}

fn hung_task() -> Result<Provoke> {
    Ok(Box::new(|| {
        let _hung = HungTask::new(1)?;
        sleep(Duration::from_secs(3));
        Ok(None)
    }))
}
