// SPDX-License-Identifier: Apache-2.0
//! Packets that network devices dropped themselves for lack of room.
//! Source: `/sys/class/net/<device>/statistics/rx_missed_errors`
//! (Documentation/networking/statistics.rst), or the statistics of drivers that count more elsewhere.
//! Signals: `linux.network.hardware.packet.dropped`.

mod by_driver;

use std::path::PathBuf;

use semconv::{attribute, metric};

use crate::hostfs::HostFs;
use crate::probes::{Collect, CollectError, Devices, Probe, ProbeDef, Started};
use crate::signal::{Recorder, Value};

use by_driver::ByDriver;

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "network.hardware",
    legacy_names: &["netdev_hw"],
    start: |cx| {
        let names = cx.config.metric_collector.netdev_hw.device_list.clone();
        let (devices, by_driver) = (Devices::default(), ByDriver::default());
        Started::from_files(HardwareDrops { names, devices, by_driver })
    },
    decoder: None,
};

struct HardwareDrops {
    names: Vec<String>,
    devices: Devices<1>,
    by_driver: ByDriver,
}

impl Probe for HardwareDrops {
    fn collect(&mut self, cx: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let mut host = out.host();
        for name in &self.names {
            // A device that is not there costs its own point only.
            let Some(missed) = missed(cx.files.host(), name) else { continue };
            let driver = driver(cx.files.host(), name).unwrap_or_default();
            let dropped = self.by_driver.dropped(name, &driver).unwrap_or(missed);
            let device = self.devices.see(name, [dropped], cx.now, cx.boot_time);
            let attributes = vec![
                (&attribute::NETWORK_INTERFACE_NAME, Value::from(&device.name)),
                (&attribute::NETWORK_IO_DIRECTION, Value::Static("receive")),
                (&attribute::LINUX_NETWORK_DRIVER, Value::from(driver)),
            ];
            let def = &metric::LINUX_NETWORK_HARDWARE_PACKET_DROPPED;
            host.sum(def, attributes, device.counters[0].start, dropped);
        }
        self.devices.end(cx.now);
        Ok(())
    }
}

fn missed(fs: &HostFs, name: &str) -> Option<u64> {
    let file = folder(name).join("statistics/rx_missed_errors");
    fs.read_rooted(&file).ok()?.trim().parse().ok()
}

fn driver(fs: &HostFs, name: &str) -> Option<String> {
    let link = std::fs::read_link(fs.rooted(&folder(name).join("device/driver"))).ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from("/sys/class/net").join(name)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn drops_and_driver_are_those_of_the_device() {
        let root = tempfile::tempdir().unwrap();
        let device = root.path().join("sys/class/net/eth0");
        fs::create_dir_all(device.join("statistics")).unwrap();
        fs::create_dir_all(device.join("device")).unwrap();
        fs::write(device.join("statistics/rx_missed_errors"), "42\n").unwrap();
        symlink("../../../bus/pci/drivers/ixgbe", device.join("device/driver")).unwrap();
        let fs_of = HostFs::new(root.path());
        assert_eq!(missed(&fs_of, "eth0"), Some(42));
        assert_eq!(driver(&fs_of, "eth0").as_deref(), Some("ixgbe"));
        assert_eq!((missed(&fs_of, "eth1"), driver(&fs_of, "eth1")), (None, None));
    }
}
