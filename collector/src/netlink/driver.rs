// SPDX-License-Identifier: Apache-2.0
//! Who drives a device (`ETHTOOL_GDRVINFO`).

use super::{NetlinkSocket, text};

const ETHTOOL_GDRVINFO: u32 = 3;
/// `struct ethtool_drvinfo`
const ANSWER: usize = 196;
/// Its texts: driver, version, version of the firmware.
const TEXTS: [std::ops::Range<usize>; 3] = [4..36, 36..68, 68..100];

/// The driver of a device. What it does not tell is empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Driver {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Version of the device's firmware.
    pub firmware: String,
}

impl NetlinkSocket {
    /// Who drives `device`; nothing where it is gone or has no driver.
    pub fn driver(&self, device: &str) -> Driver {
        let mut answer = [0u8; ANSWER];
        answer[..4].copy_from_slice(&ETHTOOL_GDRVINFO.to_ne_bytes());
        #[expect(unsafe_code, reason = "an ioctl")]
        // SAFETY: the answer to this command is a `struct ethtool_drvinfo`, which is as long.
        let answered = unsafe { self.ask_driver(device, &mut answer) };
        if !answered {
            return Driver::default();
        }
        let [name, version, firmware] = TEXTS.map(|at| text(&answer[at]).unwrap_or_default());
        Driver { name, version, firmware }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_has_no_driver() {
        let socket = NetlinkSocket::route().unwrap();
        assert_eq!(socket.driver("no-such-device"), Driver::default());
        assert_eq!(socket.driver("a-name-that-is-much-too-long"), Driver::default());
        // The kernel's own device has none, on some kernels.
        socket.driver("lo");
    }
}
