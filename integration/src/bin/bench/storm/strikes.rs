// SPDX-License-Identifier: Apache-2.0
//! What a storm is made of: each strike is one event, or what would be one.
//!
//! Where user space can have the kernel tell of something as often as it likes, it does. Elsewhere the
//! agent's own program is run with what its tracepoint would give it.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use integration::{Agent, Cgroup, KernelText, Program, container_id, installed};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};

/// Does it once more.
pub type Strike = Box<dyn FnMut() -> Result<()> + Send>;

/// A TCP segment from port 9 to port 9 whose checksum is wrong: the kernel drops it.
const SEGMENT: [u8; 20] = [0, 9, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 4, 0, 0xba, 0xd0, 0, 0];

pub fn drop_packet(_: &Agent) -> Result<Strike> {
    segments()
}

/// Sends one that is dropped.
pub fn segments() -> Result<Strike> {
    let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::TCP))?;
    let to = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    Ok(Box::new(move || {
        sendto(&raw, &SEGMENT, SendFlags::empty(), &to)?;
        Ok(())
    }))
}

/// A datagram to itself, which a softirq delivers.
pub fn raise_softirq(_: &Agent) -> Result<Strike> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let to = socket.local_addr()?;
    Ok(Box::new(move || {
        socket.send_to(&[0], to)?;
        Ok(())
    }))
}

/// A byte of what was sent long before.
pub fn read_late(_: &Agent) -> Result<Strike> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (mut reader, _) = listener.accept()?;
    sender.set_nonblocking(true)?;
    let mut fill = move || match sender.write(&[0; 1 << 16]) {
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    };
    (0..16).try_for_each(|_| fill())?;
    sleep(Duration::from_millis(10));
    let mut read = 0_u32;
    Ok(Box::new(move || {
        reader.read_exact(&mut [0])?;
        read += 1;
        if read.is_multiple_of(1 << 15) {
            fill()?;
        }
        Ok(())
    }))
}

/// A thread that has to reclaim: each is told once a second at most.
pub fn reclaim(agent: &Agent) -> Result<Strike> {
    let [begin, end] =
        ["reclaim_begin_raw", "reclaim_end_raw"].map(|n| Program::of(agent.pid(), n));
    let (begin, end) = (begin?, end?);
    let container = Cgroup::new(&format!("docker/{}", container_id(0xd7)))?;
    // Left before it is removed.
    let kept = (container.enter()?, container);
    Ok(Box::new(move || {
        let _ = &kept;
        std::thread::scope(|threads| {
            let thread = threads.spawn(|| begin.run(&[]).and_then(|()| end.run(&[])));
            thread.join().map_err(|_| anyhow!("the thread panicked"))?
        })
    }))
}

/// `SIGKILL` by the kernel itself (`SEND_SIG_PRIV`), and the victim is marked.
pub fn kill(agent: &Agent) -> Result<Strike> {
    let kill = Program::of(agent.pid(), "signal_generate_raw")?;
    let mark = Program::of(agent.pid(), "mark_victim_raw")?;
    Ok(Box::new(move || {
        kill.run(&[9, 1, 1])?;
        mark.run(&[])
    }))
}

fn run(agent: &Agent, program: &str, args: &'static [u64]) -> Result<Strike> {
    let program = Program::of(agent.pid(), program)?;
    Ok(Box::new(move || program.run(args)))
}

pub fn find_hung_task(agent: &Agent) -> Result<Strike> {
    run(agent, "sched_process_hang_raw", &[])
}

pub fn time_out(agent: &Agent) -> Result<Strike> {
    run(agent, "net_dev_xmit_timeout_raw", &[])
}

/// A corrected error of a PCIe device.
pub fn report_aer(agent: &Agent) -> Result<Strike> {
    run(agent, "aer_event_raw", &[0, 1, 2])
}

pub fn find_soft_lockup(agent: &Agent) -> Result<Strike> {
    let program = Program::of(agent.pid(), "console_raw")?;
    let text = KernelText::of_soft_lockup()?;
    Ok(Box::new(move || {
        // All of it, so that it stays.
        let text = &text;
        program.run(&[text.address, text.length])
    }))
}

/// The device that is watched.
const DEVICE: &str = "storm0";
pub const LISTED: &str = "[EventTracing.Netdev]\nDeviceList = [\"storm0\"]\n";

/// An `ip` that takes commands.
struct Ip {
    child: Child,
    commands: Option<ChildStdin>,
}

impl Drop for Ip {
    fn drop(&mut self) {
        self.commands = None;
        let _ = self.child.wait();
    }
}

/// Another MTU.
pub fn change_link(_: &Agent) -> Result<Strike> {
    integration::ip(&["link", "add", DEVICE, "type", "veth", "peer", "name", "storm1"])?;
    let mut ip = Command::new(installed("ip")?);
    let mut child = ip.args(["-batch", "-"]).stdin(Stdio::piped()).spawn()?;
    let commands = child.stdin.take();
    ensure!(commands.is_some(), "ip takes no commands");
    let mut ip = Ip { child, commands };
    let mut mtu = 0;
    Ok(Box::new(move || {
        mtu = if mtu == 1400 { 1500 } else { 1400 };
        let commands = ip.commands.as_mut().context("ip is gone")?;
        Ok(writeln!(commands, "link set dev {DEVICE} mtu {mtu}")?)
    }))
}
