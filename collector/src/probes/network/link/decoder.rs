// SPDX-License-Identifier: Apache-2.0
//! From messages about devices to events. A message tells how a device is; what has become of it is
//! the difference to what was known.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use semconv::{attribute, event};

use crate::kernel::unix_now;
use crate::netlink::{
    Device, Driver, NetlinkSocket, Notice, Notices, RTM_DELLINK, RTM_NEWLINK, device, devices,
};
use crate::probes::{Decode, DecodeContext, Malformed};
use crate::signal::{Attribute, Event, Severity, Value};

use super::change::{State, added, changes, severity, standing};
use super::{Change, Counts, Listed, driver_attributes};

/// Nothing has happened.
const BASELINE: Severity = Severity(5);

/// Knows all devices, as they were last.
pub struct LinkDecoder {
    listed: Listed,
    counts: Arc<Counts<Change>>,
    notices: Notices,
    /// By number; `None` before the first look.
    known: Option<HashMap<u32, Known>>,
    /// What is known may be wrong.
    is_stale: bool,
}

struct Known {
    device: Device,
    /// Of listed devices only. Asked for once: a device in trouble may not answer.
    driver: Option<Driver>,
}

/// What an event tells.
struct Report<'a> {
    device: &'a Device,
    driver: &'a Driver,
    states: Vec<State>,
    previous_name: Option<&'a str>,
}

impl LinkDecoder {
    /// Knows nothing yet.
    pub fn new(listed: Listed, counts: Arc<Counts<Change>>) -> Self {
        Self { listed, counts, notices: Notices::default(), known: None, is_stale: true }
    }

    /// Looks at all devices. The first time it tells how they are, later what has become of them.
    fn look(&mut self, cx: &mut DecodeContext<'_>) {
        let found = match NetlinkSocket::route().and_then(|mut socket| devices(&mut socket)) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "devices cannot be listed; tried again when one changes");
                self.is_stale = true;
                return;
            }
        };
        self.is_stale = false;
        match &self.known {
            None => self.meet(found, cx),
            Some(known) => {
                let there: HashSet<u32> = found.iter().map(|device| device.index).collect();
                let gone = known.keys().filter(|index| !there.contains(index));
                gone.copied().collect::<Vec<_>>().into_iter().for_each(|at| self.remove(at, cx));
                found.into_iter().for_each(|device| self.see(device, cx));
            }
        }
    }

    /// The devices that were there before anything was told.
    fn meet(&mut self, found: Vec<Device>, cx: &mut DecodeContext<'_>) {
        let mut known = HashMap::new();
        for device in found {
            let driver = self.listed.has(&device.name).then(|| driver_of(&device));
            if let Some(driver) = &driver {
                let states = standing(&device);
                cx.raise(
                    Report { device: &device, driver, states, previous_name: None }.baseline(cx),
                );
            }
            known.insert(device.index, Known { device, driver });
        }
        self.known = Some(known);
    }

    /// A device as it is now.
    fn see(&mut self, device: Device, cx: &mut DecodeContext<'_>) {
        let known = self.known.get_or_insert_default();
        let (before, driver) = match known.remove(&device.index) {
            Some(Known { device, driver }) => (Some(device), driver),
            None => (None, None),
        };
        let is_listed = self.listed.has(&device.name);
        let driver = driver.or_else(|| is_listed.then(|| driver_of(&device)));
        if let Some(driver) = &driver {
            let states = before.as_ref().map_or_else(|| added(&device), |b| changes(b, &device));
            let previous_name = before.as_ref().map(|before| &*before.name);
            tell(&self.counts, Report { device: &device, driver, states, previous_name }, cx);
        }
        known.insert(device.index, Known { device, driver: driver.filter(|_| is_listed) });
    }

    /// A device is gone.
    fn remove(&mut self, index: u32, cx: &mut DecodeContext<'_>) {
        let known = self.known.get_or_insert_default().remove(&index);
        if let Some(Known { device, driver: Some(driver) }) = &known {
            let states = vec!["removed"];
            tell(&self.counts, Report { device, driver, states, previous_name: None }, cx);
        }
    }
}

impl Decode for LinkDecoder {
    fn begin(&mut self, cx: &mut DecodeContext<'_>) {
        self.look(cx);
    }

    fn decode(&mut self, record: &[u8], cx: &mut DecodeContext<'_>) -> Result<(), Malformed> {
        match self.notices.read(record).ok_or(Malformed)? {
            Notice::Message(kind @ (RTM_NEWLINK | RTM_DELLINK), payload) if !self.is_stale => {
                match device(payload) {
                    Some(device) if kind == RTM_DELLINK => self.remove(device.index, cx),
                    Some(device) => self.see(device, cx),
                    // About something else than the device.
                    None => {}
                }
            }
            Notice::Message(..) if !self.is_stale => {}
            Notice::Message(..) | Notice::Lost => self.look(cx),
        }
        Ok(())
    }
}

/// Counts what has become of a device, and raises the event; nothing where it is as it was.
fn tell(counts: &Counts<Change>, report: Report<'_>, cx: &mut DecodeContext<'_>) {
    for state in &report.states {
        let (device, driver) = (report.device.name.clone(), report.driver.clone());
        counts.add(Change { device, state, driver }, 1);
    }
    if !report.states.is_empty() {
        cx.raise(report.event(cx));
    }
}

impl Report<'_> {
    fn event(self, cx: &DecodeContext<'_>) -> Event {
        let worst = severity(&self.states);
        self.with(worst, false, cx)
    }

    fn baseline(self, cx: &DecodeContext<'_>) -> Event {
        self.with(BASELINE, true, cx)
    }

    fn with(self, severity: Severity, is_baseline: bool, cx: &DecodeContext<'_>) -> Event {
        let (def, host) = (&event::LINUX_NETWORK_INTERFACE_STATE_CHANGED, cx.entities.host());
        let attributes = self.attributes(is_baseline);
        let mut event = Event::new(def, unix_now(), Arc::clone(host), attributes, self.body());
        event.severity = severity;
        event
    }

    fn attributes(&self, is_baseline: bool) -> Vec<Attribute> {
        let Self { device, driver, states, .. } = self;
        let states = states.iter().map(|state| Value::Static(state)).collect();
        let mut out = vec![
            (&attribute::NETWORK_INTERFACE_NAME, Value::from(&*device.name)),
            (&attribute::LINUX_NETWORK_INTERFACE_INDEX, device.index.into()),
            (&attribute::LINUX_NETWORK_INTERFACE_STATES, Value::Array(states)),
            (&attribute::LINUX_NETWORK_INTERFACE_MTU, device.mtu.into()),
            (&attribute::HUATUO_BASELINE, is_baseline.into()),
        ];
        if let Some(name) = self.other_name() {
            out.push((&attribute::LINUX_NETWORK_INTERFACE_PREVIOUS_NAME, name.into()));
        }
        if !device.address.is_empty() {
            let bytes: Vec<String> = device.address.iter().map(|b| format!("{b:02x}")).collect();
            out.push((&attribute::HW_NETWORK_PHYSICAL_ADDRESS, bytes.join(":").into()));
        }
        out.extend(driver_attributes(driver));
        out
    }

    fn other_name(&self) -> Option<&str> {
        self.previous_name.filter(|name| *name != self.device.name)
    }

    fn body(&self) -> String {
        let states = self.states.join(", ").replace('_', " ");
        match self.other_name() {
            Some(name) => format!("{}, before {name}: {states}", self.device.name),
            None => format!("{}: {states}", self.device.name),
        }
    }
}

fn driver_of(device: &Device) -> Driver {
    NetlinkSocket::route().map(|socket| socket.driver(&device.name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use serde_json::json;

    use super::*;
    use crate::export::document::document;
    use crate::netlink::tests::{payload, record};
    use crate::probes::tests::decode;

    /// A decoder that knows no device, and has looked.
    fn decoder(list: &[&str]) -> LinkDecoder {
        let list: Vec<String> = list.iter().map(|name| (*name).to_owned()).collect();
        let decoder = LinkDecoder::new(Listed::new(&list), Arc::default());
        LinkDecoder { known: Some(HashMap::new()), is_stale: false, ..decoder }
    }

    /// Hands messages to a decoder; the events.
    fn events(decoder: &mut LinkDecoder, messages: &[(u16, &Device)]) -> Vec<Event> {
        let mut found = Vec::new();
        for (kind, device) in messages {
            let record = record(decoder.notices.expected(), *kind, &payload(device));
            found.extend(decode(decoder, &record).unwrap());
        }
        found
    }

    fn device(name: &str, flags: u32) -> Device {
        Device {
            index: 1_000_003,
            name: name.to_owned(),
            flags,
            mtu: 1500,
            address: vec![0x5c, 0x6f, 0x69, 0x34, 0xdc, 0x72],
            ..Device::default()
        }
    }

    #[test]
    fn a_device_that_is_turned_off_has_huatuos_document() {
        let mut decoder = decoder(&["eth1"]);
        let (on, off) = (device("eth1", 0x10001), device("eth1", 0));
        let driver = Some(Driver {
            name: "ixgbe".to_owned(),
            version: "5.1.0-k".to_owned(),
            firmware: "3.25".to_owned(),
        });
        let known = Known { device: on, driver };
        decoder.known.as_mut().unwrap().insert(off.index, known);
        let event = events(&mut decoder, &[(RTM_NEWLINK, &off)]).remove(0);
        assert_eq!(
            (event.severity, &*event.body),
            (Severity(13), "eth1: admin down, carrier down")
        );
        let states = ["admin_down", "carrier_down"].map(Value::Static).to_vec();
        let expected = [
            (&attribute::NETWORK_INTERFACE_NAME, Value::from("eth1")),
            (&attribute::LINUX_NETWORK_INTERFACE_INDEX, Value::Int(1_000_003)),
            (&attribute::LINUX_NETWORK_INTERFACE_STATES, Value::Array(states)),
            (&attribute::LINUX_NETWORK_INTERFACE_MTU, Value::Int(1500)),
            (&attribute::HUATUO_BASELINE, Value::Bool(false)),
            (&attribute::HW_NETWORK_PHYSICAL_ADDRESS, Value::from("5c:6f:69:34:dc:72")),
            (&attribute::LINUX_NETWORK_DRIVER, Value::from("ixgbe")),
            (&attribute::HW_DRIVER_VERSION, Value::from("5.1.0-k")),
            (&attribute::HW_FIRMWARE_VERSION, Value::from("3.25")),
        ];
        assert_eq!(event.attributes, expected);
        let document = document(&event, &TimeZone::UTC);
        assert_eq!(document["tracer_name"], "netdev_events");
        let data = json!({
            "ifname": "eth1",
            "index": 1_000_003,
            "linkstatus": "linkStatusAdminDown, linkStatusCarrierDown",
            "mac": "5c:6f:69:34:dc:72",
            "start": false,
            "driver": "ixgbe",
            "driver_version": "5.1.0-k",
            "firmware_version": "3.25",
        });
        assert_eq!(document["tracer_data"], data);
        assert_eq!(decoder.counts.list().len(), 2);
    }

    #[test]
    fn a_device_is_followed_from_name_to_name() {
        let mut decoder = decoder(&["lan0"]);
        let (eth, lan, wan) = (device("eth0", 0), device("lan0", 0), device("wan0", 0));
        let all = [
            (RTM_NEWLINK, &eth),
            (RTM_NEWLINK, &lan),
            (RTM_NEWLINK, &lan),
            (RTM_NEWLINK, &wan),
            (RTM_NEWLINK, &eth),
            (RTM_DELLINK, &eth),
        ];
        let bodies: Vec<_> =
            events(&mut decoder, &all).into_iter().map(|event| event.body).collect();
        assert_eq!(bodies, ["lan0, before eth0: renamed", "wan0, before lan0: renamed"]);
        let all = [(RTM_NEWLINK, &lan), (RTM_DELLINK, &lan)];
        let bodies: Vec<_> =
            events(&mut decoder, &all).into_iter().map(|event| event.body).collect();
        assert_eq!(bodies, ["lan0: added", "lan0: removed"]);
    }

    #[test]
    fn after_a_loss_devices_that_are_not_there_are_gone() {
        let mut decoder = decoder(&["eth1"]);
        let added = device("eth1", 0);
        assert_eq!(events(&mut decoder, &[(RTM_NEWLINK, &added)]).len(), 1);
        // A record before this one was given up.
        let number = decoder.notices.expected() + 1;
        let found = decode(&mut decoder, &record(number, RTM_NEWLINK, &payload(&added))).unwrap();
        assert_eq!(found[0].body, "eth1: removed");
        assert!(decode(&mut decoder, &[0; 15]).is_err());
    }
}
