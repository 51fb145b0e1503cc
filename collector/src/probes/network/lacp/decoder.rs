// SPDX-License-Identifier: Apache-2.0
//! From messages about devices to events of bonds.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use semconv::{attribute, event};

use crate::hostfs::bonding::{self, Bond};
use crate::hostfs::{self, HostFs};
use crate::kernel::unix_now;
use crate::netlink::{
    Device, NetlinkSocket, Notice, Notices, RTM_DELLINK, RTM_NEWLINK, device, devices,
};
use crate::probes::network::counts::Counts;
use crate::probes::{Decode, DecodeContext, Malformed};
use crate::rate::RateLimit;
use crate::signal::{Attribute, Event, Severity, Value};

use super::Change;
use super::ports::{Port, Ports};

/// Words of `linux.network.bond.lacp.state`.
const STATES: [&str; 2] = ["disabled", "enabled"];

/// Of the files of all bonds, bytes: a bond of two ports has some 2 KiB.
const MAX_TEXT: usize = 64 << 10;

/// Times a second that all devices are listed because of one: thousands of them take milliseconds.
const MOST_LISTS: u32 = 20;

/// Knows all ports, as they were last.
pub struct LacpDecoder {
    fs: HostFs,
    counts: Arc<Counts<Change>>,
    lists: RateLimit,
    notices: Notices,
    ports: Ports,
    /// Names of bonds by number: one that is deleted cannot be asked for its own.
    names: HashMap<u32, Arc<str>>,
    /// What is known may be wrong.
    is_stale: bool,
}

impl LacpDecoder {
    /// Knows nothing yet.
    pub fn new(fs: &HostFs, counts: Arc<Counts<Change>>) -> Self {
        Self {
            fs: fs.clone(),
            counts,
            lists: RateLimit::new(MOST_LISTS, Duration::from_secs(1)),
            notices: Notices::default(),
            ports: Ports::default(),
            names: HashMap::new(),
            is_stale: true,
        }
    }

    /// All devices; none where they cannot be listed now.
    fn list(&mut self) -> Option<Vec<Device>> {
        let found = NetlinkSocket::route().and_then(|mut socket| devices(&mut socket));
        self.is_stale = found.is_err();
        found
            .inspect_err(|error| {
                tracing::warn!(%error, "devices cannot be listed; tried again when one changes");
            })
            .ok()
    }

    /// Looks at all devices: the ports that have been enabled or disabled.
    fn look(&mut self) -> Vec<Port> {
        let Some(found) = self.list() else { return Vec::new() };
        found.iter().for_each(|device| self.note_bond(device));
        found.iter().for_each(|device| self.note_port(device));
        self.ports.see_all(found)
    }

    /// A device has changed. Where it is a port, others of its bond may have, without a message.
    fn follow(&mut self, device: Device) -> Vec<Port> {
        self.note_bond(&device);
        self.note_port(&device);
        let lacp = device.lacp;
        let mut changed = Vec::from_iter(self.ports.see(device));
        if let Some(bond) = lacp.map(|port| port.bond)
            && self.lists.admit()
        {
            let found = self.list().into_iter().flatten();
            let of_bond = found.filter(|other| other.lacp.is_some_and(|port| port.bond == bond));
            changed.extend(of_bond.filter_map(|other| self.ports.see(other)));
        }
        changed
    }

    fn note_bond(&mut self, device: &Device) {
        if device.is_bond {
            self.names.insert(device.index, Arc::from(&*device.name));
        }
    }

    /// Its bond is one to count for.
    fn note_port(&self, device: &Device) {
        if let Some(port) = device.lacp {
            for state in STATES {
                self.counts.add((self.name(port.bond), state), 0);
            }
        }
    }

    fn remove(&mut self, index: u32) -> Option<Port> {
        self.names.remove(&index);
        self.ports.remove(index)
    }

    fn name(&self, bond: u32) -> Arc<str> {
        self.names.get(&bond).cloned().unwrap_or_else(|| bond.to_string().into())
    }

    fn tell(&self, port: &Port, cx: &mut DecodeContext<'_>) {
        let (bond, state) = (self.name(port.bond), STATES[usize::from(port.is_enabled)]);
        self.counts.add((Arc::clone(&bond), state), 1);
        let mut attributes = vec![
            (&attribute::NETWORK_INTERFACE_NAME, Value::from(&bond)),
            (&attribute::LINUX_NETWORK_BOND_PORT_NAME, Value::from(&*port.name)),
            (&attribute::LINUX_NETWORK_BOND_LACP_STATE, Value::Static(state)),
        ];
        attributes.extend(described(&self.fs.proc("self/net/bonding"), &bond));
        let body = format!("LACP {state} on {} of {bond}", port.name);
        let (def, host) = (&event::LINUX_NETWORK_BOND_LACP_STATE_CHANGED, cx.entities.host());
        let mut event = Event::new(def, unix_now(), Arc::clone(host), attributes, body);
        event.severity = self.severity(port);
        cx.raise(event);
    }

    /// A bond without any port that carries traffic is worse than one with fewer.
    fn severity(&self, port: &Port) -> Severity {
        match (port.is_enabled, self.ports.is_any_enabled(port.bond)) {
            (true, _) => Severity(9),
            (false, true) => Severity(13),
            (false, false) => Severity(17),
        }
    }
}

impl Decode for LacpDecoder {
    fn begin(&mut self, _: &mut DecodeContext<'_>) {
        // How it was before is not known, so nothing has changed.
        self.look();
    }

    fn decode(&mut self, record: &[u8], cx: &mut DecodeContext<'_>) -> Result<(), Malformed> {
        let changed = match self.notices.read(record).ok_or(Malformed)? {
            Notice::Lost => self.look(),
            Notice::Message(..) if self.is_stale => self.look(),
            Notice::Message(RTM_NEWLINK, payload) => {
                device(payload).map(|device| self.follow(device)).unwrap_or_default()
            }
            Notice::Message(RTM_DELLINK, payload) => {
                let gone = device(payload).and_then(|device| self.remove(device.index));
                gone.into_iter().collect()
            }
            Notice::Message(..) => Vec::new(),
        };
        changed.iter().for_each(|port| self.tell(port, cx));
        Ok(())
    }
}

/// How a bond is now, and the text of all bonds as HUATUO puts it together: the path of each file
/// and what it says. Nothing where the bond is gone.
fn described(folder: &Path, bond: &str) -> Vec<Attribute> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    let (mut out, mut all, mut is_cut) = (Vec::new(), String::new(), false);
    for name in names {
        let Ok(text) = hostfs::read(&folder.join(&name)) else { continue };
        if name == bond {
            out.extend(attributes(&bonding::bond(&text)));
        }
        let piece = format!("/proc/net/bonding/{name}\n{text}");
        is_cut |= all.len() + piece.len() > MAX_TEXT;
        if !is_cut {
            all.push_str(&piece);
        }
    }
    if !all.is_empty() {
        out.push((&attribute::LOG_RECORD_ORIGINAL, all.into()));
    }
    if is_cut {
        out.push((&attribute::HUATUO_TRUNCATED, true.into()));
    }
    out
}

fn attributes(bond: &Bond<'_>) -> [Attribute; 3] {
    let ports = bond.ports.iter().map(|port| {
        let numbers = [
            ("aggregator_id", port.aggregator_id),
            ("actor_state", port.actor_state),
            ("partner_state", port.partner_state),
        ];
        let texts = [("name", port.name), ("mii_status", port.mii_status)];
        let texts = texts.map(|(key, text)| (key, Value::from(text)));
        let known = numbers.into_iter().filter(|(_, number)| *number >= 0);
        let known = known.map(|(key, number)| (key, Value::Int(number)));
        Value::Map(texts.into_iter().chain(known).collect())
    });
    [
        (&attribute::LINUX_NETWORK_BOND_MODE, bond.mode.into()),
        (&attribute::LINUX_NETWORK_BOND_MII_STATUS, bond.mii_status.into()),
        (&attribute::LINUX_NETWORK_BOND_PORTS, Value::Array(ports.collect())),
    ]
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::export::document::document;
    use crate::netlink::LacpPort;
    use crate::netlink::tests::{payload, record};
    use crate::probes::tests::decode;

    const FILE: &str = "Bonding Mode: IEEE 802.3ad Dynamic link aggregation\nMII Status: up\n\n\
        Slave Interface: eth0\nMII Status: down\nAggregator ID: 1\n";

    fn bond() -> Device {
        Device { index: 9_000_000, name: "bond0".to_owned(), is_bond: true, ..Device::default() }
    }

    /// A port whose actor has this state, active where it distributes.
    fn port(index: u32, actor_state: u8) -> Device {
        let is_active = actor_state & 0x20 != 0;
        Device {
            index: 9_000_001 + index,
            name: format!("eth{index}"),
            lacp: Some(LacpPort { bond: 9_000_000, is_active, actor_state, partner_state: 0x3f }),
            ..Device::default()
        }
    }

    fn events(decoder: &mut LacpDecoder, kind: u16, device: &Device) -> Vec<Event> {
        let record = record(decoder.notices.expected(), kind, &payload(device));
        decode(decoder, &record).unwrap()
    }

    #[test]
    fn a_port_that_is_disabled_is_told_with_the_text_of_all_bonds() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("proc/self/net/bonding");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("bond0"), FILE).unwrap();
        fs::write(folder.join("bond1"), "Bonding Mode: x\n").unwrap();
        let mut decoder = LacpDecoder::new(&HostFs::new(root.path()), Arc::default());
        decoder.is_stale = false;
        assert!(events(&mut decoder, RTM_NEWLINK, &bond()).is_empty());
        assert!(events(&mut decoder, RTM_NEWLINK, &port(0, 0x07)).is_empty());
        for index in 0..2 {
            let enabled = events(&mut decoder, RTM_NEWLINK, &port(index, 0x3f)).remove(0);
            assert_eq!(enabled.severity, Severity(9));
        }
        let event = events(&mut decoder, RTM_NEWLINK, &port(0, 0x0f)).remove(0);
        assert_eq!(
            (event.severity, &*event.body),
            (Severity(13), "LACP disabled on eth0 of bond0")
        );
        let texts = [
            (&attribute::NETWORK_INTERFACE_NAME, "bond0"),
            (&attribute::LINUX_NETWORK_BOND_PORT_NAME, "eth0"),
            (&attribute::LINUX_NETWORK_BOND_LACP_STATE, "disabled"),
            (&attribute::LINUX_NETWORK_BOND_MODE, "IEEE 802.3ad Dynamic link aggregation"),
            (&attribute::LINUX_NETWORK_BOND_MII_STATUS, "up"),
        ];
        for (key, text) in texts {
            assert_eq!(event.get(key).and_then(Value::as_str), Some(text));
        }
        let ports = vec![
            ("name", Value::from("eth0")),
            ("mii_status", Value::from("down")),
            ("aggregator_id", Value::Int(1)),
        ];
        let ports = Value::Array(vec![Value::Map(ports)]);
        assert_eq!(event.get(&attribute::LINUX_NETWORK_BOND_PORTS), Some(&ports));
        let document = document(&event, &TimeZone::UTC);
        assert_eq!(document["tracer_name"], "netdev_bonding_lacp");
        let content =
            format!("/proc/net/bonding/bond0\n{FILE}/proc/net/bonding/bond1\nBonding Mode: x\n");
        assert_eq!(document["tracer_data"], serde_json::json!({ "content": content }));
        let last = events(&mut decoder, RTM_DELLINK, &port(1, 0x3f)).remove(0);
        assert_eq!(last.severity, Severity(17));
        let mut counts = decoder.counts.list();
        counts.sort_unstable();
        let name = Arc::<str>::from("bond0");
        assert_eq!(counts, [((Arc::clone(&name), "disabled"), 2), ((name, "enabled"), 2)]);
    }

    #[test]
    fn a_bond_that_is_gone_is_told_without_its_text_and_long_texts_are_cut() {
        let root = tempfile::tempdir().unwrap();
        assert!(described(root.path(), "bond0").is_empty());
        fs::write(root.path().join("bond0"), "x".repeat(MAX_TEXT)).unwrap();
        let found = described(root.path(), "bond1");
        assert_eq!(found, [(&attribute::HUATUO_TRUNCATED, Value::Bool(true))]);
    }
}
