// SPDX-License-Identifier: Apache-2.0
//! Questions to the driver of a device (include/uapi/linux/ethtool.h) that have no netlink message.

use std::ffi::c_char;
use std::os::fd::AsRawFd;

use super::NetlinkSocket;

impl NetlinkSocket {
    /// Asks the driver of `device`; the command is what `question` begins with, and the answer is
    /// written over it. Whether there is one.
    ///
    /// # Safety
    /// The command must be one whose answer never is longer than `question`.
    #[expect(unsafe_code, reason = "the kernel answers by ioctl only")]
    pub(super) unsafe fn ask_driver(&self, device: &str, question: &mut [u8]) -> bool {
        let mut name = [0; libc::IFNAMSIZ];
        // The last byte stays 0.
        for (to, from) in name[..libc::IFNAMSIZ - 1].iter_mut().zip(device.bytes()) {
            *to = from as c_char;
        }
        let data = libc::__c_anonymous_ifr_ifru { ifru_data: question.as_mut_ptr().cast() };
        let mut request = libc::ifreq { ifr_name: name, ifr_ifru: data };
        let socket = self.socket.as_raw_fd();
        // SAFETY: the kernel reads and writes where `ifru_data` points to, which outlives the call,
        // and by the caller's promise not behind its end.
        unsafe { libc::ioctl(socket, libc::SIOCETHTOOL, &raw mut request) >= 0 }
    }
}
