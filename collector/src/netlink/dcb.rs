// SPDX-License-Identifier: Apache-2.0
//! Priority flow control of a device (`RTM_GETDCB`, include/uapi/linux/dcbnl.h).

use super::{NetlinkError, NetlinkSocket, attribute, double_word, find};

const RTM_GETDCB: u16 = 78;
/// `struct dcbmsg`: family, command, padding.
const HEADER: usize = 4;
const DCB_CMD_IEEE_GET: u8 = 21;
const DCB_ATTR_IFNAME: u16 = 1;
const DCB_ATTR_IEEE: u16 = 13;
const DCB_ATTR_IEEE_PFC: u16 = 2;

/// Frames of priority flow control by priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PfcFrames {
    /// Sent.
    pub sent: [u64; 8],
    /// Received.
    pub received: [u64; 8],
}

/// Frames of `device`; `None` where it has no priority flow control.
pub fn pfc(socket: &mut NetlinkSocket, device: &str) -> Result<Option<PfcFrames>, NetlinkError> {
    let mut question = vec![0, DCB_CMD_IEEE_GET, 0, 0];
    question.extend(attribute(DCB_ATTR_IFNAME, [device.as_bytes(), b"\0"].concat()));
    let mut found = None;
    socket.ask(RTM_GETDCB, question, |payload| found = frames(payload))?;
    Ok(found)
}

/// The frames that an answer tells of; `None` where it is malformed or tells of none.
pub fn frames(payload: &[u8]) -> Option<PfcFrames> {
    let ieee = find(payload.get(HEADER..)?, DCB_ATTR_IEEE)?;
    let pfc = find(ieee.value(), DCB_ATTR_IEEE_PFC)?;
    let pfc = pfc.value();
    // `struct ieee_pfc`: capabilities, enabled, mbc, delay; requests and indications at 8.
    let count = |index: usize| double_word(pfc, 8 + 8 * index);
    let mut all = PfcFrames::default();
    for priority in 0..8 {
        all.sent[priority] = count(priority)?;
        all.received[priority] = count(8 + priority)?;
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Vec<u8> {
        let mut pfc = vec![8, 0xff, 0, 0, 0, 0, 0, 0];
        pfc.extend((0..16u64).flat_map(|count| (count * 10).to_ne_bytes()));
        // NLA_F_NESTED
        let ieee = attribute(DCB_ATTR_IEEE | 0x8000, attribute(DCB_ATTR_IEEE_PFC, pfc));
        let name = attribute(DCB_ATTR_IFNAME, b"eth0\0".to_vec());
        [vec![0, DCB_CMD_IEEE_GET, 0, 0], name, ieee].concat()
    }

    #[test]
    fn frames_are_read_by_priority() {
        let frames = frames(&answer()).unwrap();
        assert_eq!((frames.sent[3], frames.received[0], frames.received[7]), (30, 80, 150));
    }

    #[test]
    fn a_torn_answer_has_no_frames_and_never_a_panic() {
        let whole = answer();
        assert!((0..whole.len()).all(|length| frames(&whole[..length]).is_none()));
    }
}
