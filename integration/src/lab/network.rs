// SPDX-License-Identifier: Apache-2.0
//! The guest's network card: a real driver (e1000e), and a cable that leads nowhere. And one for RDMA,
//! in software.

use std::fs::{self, File, OpenOptions};
use std::net::UdpSocket;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{modprobe, monitor, shell};
use crate::{installed, wait_for};

const DRIVER: &str = "e1000e";

/// The card, up; without its driver again when dropped, which a hang leaves in disorder.
pub struct Nic {
    /// Its interface.
    pub name: String,
}

impl Nic {
    /// Loads its driver, and waits for the carrier.
    pub fn up() -> Result<Self> {
        // By plain interrupts: QEMU before 8.1 keeps later messages of a kind (MSI-X) to itself.
        modprobe(&format!("{DRIVER} IntMode=0"))?;
        let nic = wait_for(Duration::from_secs(5), || {
            Ok(Self { name: interface_of(DRIVER)?.context("e1000e has no interface")? })
        })?;
        shell(&format!("ip link set {} up", nic.name))?;
        nic.plug(true)?;
        Ok(nic)
    }

    /// Plugs its cable, or pulls it; until the kernel has seen it.
    pub fn plug(&self, plugged: bool) -> Result<()> {
        monitor(&format!("set_link nic0 {}", if plugged { "on" } else { "off" }))?;
        wait_for(Duration::from_secs(6), || {
            let carrier = fs::read_to_string(self.file("carrier"))?.trim() == "1";
            ensure!(carrier == plugged, "the carrier does not change");
            Ok(())
        })
    }

    /// Has it send 20 datagrams, to a neighbour that it need not look for.
    pub fn send(&self) -> Result<()> {
        let name = &self.name;
        shell(&format!(
            "ip addr replace 10.7.0.1/24 dev {name} && \
             ip neigh replace 10.7.0.2 lladdr 02:00:00:00:00:02 dev {name}"
        ))?;
        let socket = UdpSocket::bind("10.7.0.1:0")?;
        socket.set_nonblocking(true)?;
        for _ in 0..20 {
            socket.send_to(b"anything", "10.7.0.2:9")?;
        }
        Ok(())
    }

    /// Packets that it has sent.
    pub fn sent(&self) -> Result<u64> {
        Ok(fs::read_to_string(self.file("statistics/tx_packets"))?.trim().parse()?)
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new("/sys/class/net").join(&self.name).join(name)
    }
}

impl Drop for Nic {
    fn drop(&mut self) {
        let _ = monitor("set_link nic0 on");
        let _ = shell(&format!("modprobe -r {DRIVER}"));
    }
}

/// The first interface that a driver has.
pub(super) fn interface_of(driver: &str) -> Result<Option<String>> {
    for entry in fs::read_dir("/sys/class/net")? {
        let path = entry?.path();
        let link = fs::read_link(path.join("device/driver")).unwrap_or_default();
        if link.ends_with(driver) {
            let name = path.file_name().unwrap_or_default();
            return Ok(Some(name.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

/// A card with its access to memory taken away, and its driver not told. Given back when dropped.
pub(super) struct CutOff {
    config: File,
    before: [u8; 1],
}

/// Offset of the command register in a PCI device's configuration, and its bit for access to memory.
const COMMAND: u64 = 4;
const BUS_MASTER: u8 = 1 << 2;

impl CutOff {
    pub(super) fn new(interface: &str) -> Result<Self> {
        let path = format!("/sys/class/net/{interface}/device/config");
        let config = OpenOptions::new().read(true).write(true).open(path)?;
        let mut before = [0];
        config.read_exact_at(&mut before, COMMAND)?;
        config.write_all_at(&[before[0] & !BUS_MASTER], COMMAND)?;
        Ok(Self { config, before })
    }
}

impl Drop for CutOff {
    fn drop(&mut self) {
        let _ = self.config.write_all_at(&self.before, COMMAND);
    }
}

/// The card cut off from memory: it sends nothing.
pub struct TransmitHang {
    // Given back before the card goes.
    _cut_off: CutOff,
    /// The card.
    pub nic: Nic,
}

impl TransmitHang {
    /// Sends some datagrams that stay. The kernel complains after five seconds (`watchdog_timeo` of
    /// the driver), and again after each reset of the card.
    pub fn new() -> Result<Self> {
        let nic = Nic::up()?;
        let hang = Self { _cut_off: CutOff::new(&nic.name)?, nic };
        hang.nic.send()?;
        Ok(hang)
    }
}

/// An RDMA device in software (RoCE, `rdma_rxe`); removed when dropped.
pub struct SoftRoce;

impl SoftRoce {
    /// Makes it, and has two processes tell each other something through it.
    pub fn with_traffic() -> Result<Self> {
        modprobe("rdma_rxe")?;
        modprobe("ib_uverbs")?;
        // Its checksum; newer kernels have it as a function.
        let _ = modprobe("crypto-crc32");
        shell(
            "ip link add roce0 type dummy && ip addr add 10.6.0.1/24 dev roce0 && \
             ip link set roce0 up && rdma link add rxe0 type rxe netdev roce0",
        )?;
        let device = Self;
        // The second address of the port is that of IPv4.
        let tool = installed("ibv_rc_pingpong")?;
        let options = ["--ib-dev=rxe0", "--gid-idx=1", "--iters=50"];
        let mut server = Command::new(&tool).args(options).stdout(Stdio::null()).spawn()?;
        let talk = format!("{} {} 10.6.0.1", tool.display(), options.join(" "));
        let client = wait_for(Duration::from_secs(5), || shell(&talk));
        let _ = server.kill();
        let _ = server.wait();
        client?;
        Ok(device)
    }
}

impl Drop for SoftRoce {
    fn drop(&mut self) {
        let _ = shell("rdma link delete rxe0; ip link delete roce0");
    }
}
