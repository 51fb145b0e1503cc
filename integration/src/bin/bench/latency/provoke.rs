// SPDX-License-Identifier: Apache-2.0
//! Events that can be made to happen, one at a time.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use integration::lab::HungTask;
use integration::{Agent, Burner, Cgroup, container_id, free_port};
use semconv::{EventDef, event};

use crate::storm::strikes::{self, Strike};

/// Makes an event happen. What it returns is when, where the record cannot tell: its time is when the
/// agent heard of it.
pub type Provoke = Box<dyn FnMut() -> Result<Option<SystemTime>>>;

/// An event that can be made to happen.
pub struct Provocation {
    pub event: &'static EventDef,
    /// Of the agent.
    pub config: &'static str,
    pub begin: fn(&Agent) -> Result<Provoke>,
    /// Times with one agent, and agents.
    pub rounds: usize,
    pub agents: usize,
}

const ROUNDS: usize = 120;

const fn often(
    event: &'static EventDef,
    config: &'static str,
    begin: fn(&Agent) -> Result<Provoke>,
) -> Provocation {
    Provocation { event, config, begin, rounds: ROUNDS, agents: 1 }
}

/// Only the first is told in ten minutes.
const fn once(event: &'static EventDef, begin: fn(&Agent) -> Result<Provoke>) -> Provocation {
    Provocation { event, config: "", begin, rounds: 1, agents: 12 }
}

pub const PROVOCATIONS: [Provocation; 10] = [
    often(&event::LINUX_MEMORY_OOM_KILL, "", oom),
    often(&event::LINUX_NETWORK_PACKET_DROPPED, "", closed_port),
    often(&event::LINUX_NETWORK_RECEIVE_DELAYED, EVERYBODY, late_reader),
    often(&event::LINUX_NETWORK_INTERFACE_STATE_CHANGED, strikes::LISTED, link),
    often(&event::LINUX_MEMORY_DIRECT_RECLAIM_STALL, SHORT_STALLS, reclaim),
    often(&event::LINUX_SOFTIRQ_DISABLED, "", softirq),
    often(&event::LINUX_RAS_ERROR, "", |agent| strike(strikes::report_aer(agent)?)),
    often(&event::LINUX_NETWORK_TRANSMIT_QUEUE_TIMEOUT, "", |agent| {
        strike(strikes::time_out(agent)?)
    }),
    once(&event::LINUX_KERNEL_HUNG_TASK, hung_task),
    once(&event::LINUX_KERNEL_SOFTLOCKUP, |agent| strike(strikes::find_soft_lockup(agent)?)),
];

const EVERYBODY: &str = "[EventTracing.NetRxLatency]\nExcludedHostNetnamespace = false\n";
const SHORT_STALLS: &str = "[EventTracing.MemoryReclaim]\nBlockedThreshold = 1000000\n";

/// What a storm is made of, one at a time.
fn strike(mut strike: Strike) -> Result<Provoke> {
    Ok(Box::new(move || strike().map(|()| None)))
}

fn oom(_: &Agent) -> Result<Provoke> {
    let cgroup = Cgroup::new("huatuo-bench")?;
    Ok(Box::new(move || cgroup.kill_one().map(|_| None)))
}

fn closed_port(_: &Agent) -> Result<Provoke> {
    Ok(Box::new(|| {
        let connected = TcpStream::connect(("127.0.0.1", free_port()?));
        ensure!(connected.is_err(), "somebody listens");
        Ok(None)
    }))
}

fn late_reader(_: &Agent) -> Result<Provoke> {
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

/// The command is taken by a process that waits for it.
fn link(agent: &Agent) -> Result<Provoke> {
    let mut change = strikes::change_link(agent)?;
    Ok(Box::new(move || {
        let start = SystemTime::now();
        change()?;
        Ok(Some(start))
    }))
}

fn reclaim(_: &Agent) -> Result<Provoke> {
    let cgroup = Cgroup::new(&format!("docker/{}", container_id(0xd8)))?;
    Ok(Box::new(move || cgroup.take_page_cache(100, 1).map(|()| None)))
}

fn softirq(_: &Agent) -> Result<Provoke> {
    let burner = Burner::attach()?;
    Ok(Box::new(move || burner.burn("softirq 40").map(|_| None)))
}

fn hung_task(_: &Agent) -> Result<Provoke> {
    Ok(Box::new(|| {
        let _hung = HungTask::new(1)?;
        sleep(Duration::from_secs(3));
        Ok(None)
    }))
}
