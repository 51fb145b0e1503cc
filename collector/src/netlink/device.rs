// SPDX-License-Identifier: Apache-2.0
//! What devices are like (`RTM_NEWLINK`, include/uapi/linux/if_link.h).

use netlink_packet_core::NlasIterator;

use super::link::{HEADER, IFLA_IFNAME, RTM_GETLINK};
use super::{NetlinkError, NetlinkSocket, find, text, word};

/// A device has come or changed.
pub const RTM_NEWLINK: u16 = 16;
/// A device is gone.
pub const RTM_DELLINK: u16 = 17;

const AF_UNSPEC: u8 = 0;
const IFLA_ADDRESS: u16 = 1;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BOND_SLAVE_STATE: u16 = 1;
const IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE: u16 = 7;
const IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE: u16 = 8;

/// include/uapi/linux/if.h
const IFF_UP: u32 = 1;
const IFF_LOWER_UP: u32 = 1 << 16;

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `IFF_…`
    pub flags: u32,
    /// Bytes.
    pub mtu: u32,
    /// Its address on the link.
    pub address: Vec<u8>,
    /// It is a bond.
    pub is_bond: bool,
    /// Where it is a port of a bond that speaks LACP.
    pub lacp: Option<LacpPort>,
}

/// A port of a bond that speaks LACP. Its states are bits of IEEE 802.1AX, `LACP_STATE_…` of
/// drivers/net/bonding/bond_3ad.c.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LacpPort {
    /// Number of the bond.
    pub bond: u32,
    /// The bond sends by it, whether its partner speaks LACP or not.
    pub is_active: bool,
    /// State of this end.
    pub actor_state: u8,
    /// State of the other end; 0 where there is none.
    pub partner_state: u16,
}

impl Device {
    /// Turned on.
    pub fn is_up(&self) -> bool {
        self.flags & IFF_UP != 0
    }

    /// Turned on, and with a link.
    pub fn has_carrier(&self) -> bool {
        self.flags & IFF_LOWER_UP != 0
    }
}

/// All devices.
pub fn devices(socket: &mut NetlinkSocket) -> Result<Vec<Device>, NetlinkError> {
    let mut found = Vec::new();
    socket.dump(RTM_GETLINK, vec![0; HEADER], |payload| found.extend(device(payload)))?;
    Ok(found)
}

/// The device that a message tells of; `None` where it is malformed, or does not tell how the device
/// is: of this type are also what a bridge tells of its ports, and what wireless drivers tell.
pub fn device(payload: &[u8]) -> Option<Device> {
    let attributes = payload.get(HEADER..)?;
    if payload[0] != AF_UNSPEC {
        return None;
    }
    let mut device =
        Device { index: word(payload, 4)?, flags: word(payload, 8)?, ..Device::default() };
    let (mut mtu, mut master, mut lacp) = (None, None, None);
    for nla in NlasIterator::new(attributes) {
        let nla = nla.ok()?;
        match nla.kind() {
            IFLA_IFNAME => device.name = text(nla.value())?,
            IFLA_MTU => mtu = word(nla.value(), 0),
            IFLA_ADDRESS => device.address = nla.value().to_vec(),
            IFLA_MASTER => master = Some(word(nla.value(), 0)?),
            IFLA_LINKINFO => {
                device.is_bond = is_kind(nla.value(), IFLA_INFO_KIND, b"bond\0");
                lacp = lacp_port(nla.value());
            }
            _ => {}
        }
    }
    device.mtu = mtu?;
    device.lacp = master.zip(lacp).map(|(bond, port)| LacpPort { bond, ..port });
    (!device.name.is_empty()).then_some(device)
}

/// Without the number of its bond, which is elsewhere.
fn lacp_port(info: &[u8]) -> Option<LacpPort> {
    if !is_kind(info, IFLA_INFO_SLAVE_KIND, b"bond\0") {
        return None;
    }
    let data = find(info, IFLA_INFO_SLAVE_DATA)?;
    let byte = |kind| find(data.value(), kind)?.value().first().copied();
    let partner = find(data.value(), IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE)?;
    Some(LacpPort {
        bond: 0,
        is_active: byte(IFLA_BOND_SLAVE_STATE)? == 0,
        actor_state: byte(IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE)?,
        partner_state: u16::from_ne_bytes(partner.value().get(..2)?.try_into().ok()?),
    })
}

fn is_kind(info: &[u8], attribute: u16, kind: &[u8]) -> bool {
    find(info, attribute).is_some_and(|found| found.value() == kind)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::attribute;
    use super::*;

    /// A message that tells of this device.
    pub(crate) fn payload(device: &Device) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[4..8].copy_from_slice(&device.index.to_ne_bytes());
        bytes[8..12].copy_from_slice(&device.flags.to_ne_bytes());
        bytes.extend(attribute(IFLA_IFNAME, [device.name.as_bytes(), b"\0"].concat()));
        bytes.extend(attribute(IFLA_MTU, device.mtu.to_ne_bytes().to_vec()));
        bytes.extend(attribute(IFLA_ADDRESS, device.address.clone()));
        if device.is_bond {
            let kind = attribute(IFLA_INFO_KIND, b"bond\0".to_vec());
            bytes.extend(attribute(IFLA_LINKINFO, kind));
        }
        if let Some(port) = device.lacp {
            let partner = port.partner_state.to_ne_bytes().to_vec();
            let data = [
                attribute(IFLA_BOND_SLAVE_STATE, vec![u8::from(!port.is_active)]),
                attribute(IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE, vec![port.actor_state]),
                attribute(IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE, partner),
            ];
            let kind = attribute(IFLA_INFO_SLAVE_KIND, b"bond\0".to_vec());
            let info = [kind, attribute(IFLA_INFO_SLAVE_DATA, data.concat())].concat();
            bytes.extend(attribute(IFLA_MASTER, port.bond.to_ne_bytes().to_vec()));
            bytes.extend(attribute(IFLA_LINKINFO, info));
        }
        bytes
    }

    fn port() -> Device {
        Device {
            index: 7,
            name: "eth1".to_owned(),
            flags: IFF_UP | IFF_LOWER_UP,
            mtu: 9000,
            address: vec![2, 0, 0, 0, 0, 1],
            is_bond: false,
            lacp: Some(LacpPort {
                bond: 3,
                is_active: true,
                actor_state: 0x3f,
                partner_state: 0x3d,
            }),
        }
    }

    #[test]
    fn a_device_is_read_with_what_it_does_in_its_bond() {
        let found = device(&payload(&port())).unwrap();
        assert_eq!(found, port());
        assert!(found.is_up() && found.has_carrier());
    }

    #[test]
    fn what_a_bridge_tells_of_its_port_is_not_about_the_device() {
        let mut message = payload(&port());
        message[0] = 7;
        assert_eq!(device(&message), None);
    }

    #[test]
    fn a_torn_message_never_panics() {
        let whole = payload(&port());
        for length in 0..whole.len() {
            device(&whole[..length]);
        }
        assert_eq!(device(&whole[..HEADER]), None);
    }

    #[test]
    fn the_loopback_device_of_this_process_is_found() {
        let found = devices(&mut NetlinkSocket::route().unwrap()).unwrap();
        let device = found.iter().find(|device| device.name == "lo").unwrap();
        assert_eq!((device.index, device.mtu), (1, 65536));
    }
}
