// SPDX-License-Identifier: Apache-2.0
//! `/proc/net/bonding/<bond>` (drivers/net/bonding/bond_procfs.c).

/// A bond. Numbers are -1 where the kernel does not tell them; states of ports need CAP_NET_ADMIN.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bond<'a> {
    /// The kernel's words for how it uses its ports.
    pub mode: &'a str,
    /// `up` or `down`.
    pub mii_status: &'a str,
    /// Its ports.
    pub ports: Vec<BondPort<'a>>,
}

/// A port of a bond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BondPort<'a> {
    /// Name of its device.
    pub name: &'a str,
    /// `up`, `down`, `going down` or `going back`.
    pub mii_status: &'a str,
    /// Those with the same number can send together.
    pub aggregator_id: i64,
    /// State of this end, bits of IEEE 802.1AX.
    pub actor_state: i64,
    /// State of the other end.
    pub partner_state: i64,
}

/// Which end the lines tell of.
#[derive(Clone, Copy)]
enum End {
    Actor,
    Partner,
}

/// The bond that a file tells of. What is not understood is left out.
pub fn bond(text: &str) -> Bond<'_> {
    let (mut bond, mut end) = (Bond::default(), End::Actor);
    for line in text.lines() {
        match line.trim() {
            "details actor lacp pdu:" => end = End::Actor,
            "details partner lacp pdu:" => end = End::Partner,
            line => {
                let Some((word, value)) = line.split_once(": ") else { continue };
                if word == "Slave Interface" {
                    bond.ports.push(BondPort::new(value));
                } else if let Some(port) = bond.ports.last_mut() {
                    port.read(word, value, end);
                } else {
                    bond.read(word, value);
                }
            }
        }
    }
    bond
}

impl<'a> Bond<'a> {
    fn read(&mut self, word: &str, value: &'a str) {
        match word {
            "Bonding Mode" => self.mode = value,
            "MII Status" => self.mii_status = value,
            _ => {}
        }
    }
}

impl<'a> BondPort<'a> {
    fn new(name: &'a str) -> Self {
        Self { name, mii_status: "", aggregator_id: -1, actor_state: -1, partner_state: -1 }
    }

    fn read(&mut self, word: &str, value: &'a str, end: End) {
        let number = value.parse().ok().filter(|number| *number >= 0).unwrap_or(-1);
        match (word, end) {
            ("MII Status", _) => self.mii_status = value,
            ("Aggregator ID", _) => self.aggregator_id = number,
            ("port state", End::Actor) => self.actor_state = number,
            ("port state", End::Partner) => self.partner_state = number,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of Debian's 6.1: the link of the first port is lost.
    const LACP: &str = include_str!("bonding/lacp.txt");

    #[test]
    fn a_bond_is_read_with_both_ends_of_its_ports() {
        let p0 = BondPort {
            name: "p0",
            mii_status: "down",
            aggregator_id: 1,
            actor_state: 15,
            partner_state: 55,
        };
        let p1 = BondPort {
            name: "p1",
            mii_status: "up",
            aggregator_id: 1,
            actor_state: 63,
            partner_state: 63,
        };
        let mode = "IEEE 802.3ad Dynamic link aggregation";
        assert_eq!(bond(LACP), Bond { mode, mii_status: "up", ports: vec![p0, p1] });
    }

    #[test]
    fn without_the_right_to_see_it_or_without_lacp_ports_have_no_states() {
        let text = "Bonding Mode: load balancing (round-robin)\nMII Status: down\n\n\
                    Slave Interface: eth0\nMII Status: going back\n\
                    Aggregator ID: -7\n    port state: 99999999999999999999\n";
        let found = bond(text);
        assert_eq!((found.mode, found.mii_status), ("load balancing (round-robin)", "down"));
        let port = BondPort { mii_status: "going back", ..BondPort::new("eth0") };
        assert_eq!(found.ports, [port]);
    }

    #[test]
    fn a_torn_file_gives_what_it_has() {
        for length in (0..LACP.len()).filter(|at| LACP.is_char_boundary(*at)) {
            assert!(bond(&LACP[..length]).ports.len() <= 2);
        }
        assert_eq!(bond(""), Bond::default());
    }
}
