// SPDX-License-Identifier: Apache-2.0
//! Network devices that are turned on and off, get and lose their link, change, come and go.
//! Source: routing netlink, messages of the group `RTNLGRP_LINK` (net/core/rtnetlink.c). Signals:
//! the event `linux.network.interface.state_changed`, `linux.network.interface.state_changes`.

mod change;
mod decoder;

use std::sync::Arc;

use regex::Regex;
use schemars::JsonSchema;
use semconv::{AttributeDef, attribute, metric};
use serde::{Deserialize, Serialize};

use crate::kernel::unix_now;
use crate::netlink::{Driver, Subscription};
use crate::probes::network::counts::Counts;
use crate::probes::{
    Built, Collect, CollectError, EventSource, Probe, ProbeDef, StartContext, StartError, Started,
};
use crate::signal::{Attribute, Recorder, UnixNanos, Value};
use change::State;
use decoder::LinkDecoder;

/// The probe.
pub static PROBE: ProbeDef = ProbeDef {
    name: "network.link",
    legacy_names: &["netdev_events"],
    start: |cx| Started::from_built(start(cx)),
    decoder: Some(|cx| Box::new(LinkDecoder::new(listed(cx), Arc::default()))),
};

/// `[EventTracing.Netdev]`: network devices that go up and down.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct LinkConfig {
    /// Names of the devices, or regular expressions that match whole names; none by default.
    #[schemars(extend("elements" = "regex"))]
    pub device_list: Vec<String>,
}

fn listed(cx: &StartContext<'_>) -> Listed {
    Listed::new(&cx.config.event_tracing.netdev.device_list)
}

fn start(cx: &StartContext<'_>) -> Result<Built, StartError> {
    if cx.config.event_tracing.netdev.device_list.is_empty() {
        let reason = "DeviceList of [EventTracing.Netdev] names no device";
        return Err(StartError::Absent(reason.to_owned()));
    }
    let counts = Arc::<Counts<Change>>::default();
    let source = EventSource::netlink(Subscription::links()?);
    let events = source.decoded_by(LinkDecoder::new(listed(cx), Arc::clone(&counts)));
    Ok(Built { probe: Box::new(Links { counts, started: unix_now() }), events: Some(events) })
}

/// Devices that are watched.
struct Listed {
    names: Vec<String>,
    expressions: Vec<Regex>,
}

impl Listed {
    /// The configuration has checked the expressions; one that slipped through is a name only.
    fn new(list: &[String]) -> Self {
        let whole = |text: &String| Regex::new(&format!("^(?:{text})$")).ok();
        Self { names: list.to_vec(), expressions: list.iter().filter_map(whole).collect() }
    }

    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|listed| listed == name)
            || self.expressions.iter().any(|expression| expression.is_match(name))
    }
}

/// What is counted: what has become of which device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Change {
    device: String,
    state: State,
    driver: Driver,
}

struct Links {
    counts: Arc<Counts<Change>>,
    started: UnixNanos,
}

impl Probe for Links {
    /// A device has a point for what has become of it at least once.
    fn collect(&mut self, _: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let mut host = out.host();
        for (change, count) in self.counts.list() {
            let mut attributes = vec![
                (&attribute::NETWORK_INTERFACE_NAME, Value::from(change.device)),
                (&attribute::LINUX_NETWORK_INTERFACE_STATE, Value::Static(change.state)),
            ];
            attributes.extend(driver_attributes(&change.driver));
            let def = &metric::LINUX_NETWORK_INTERFACE_STATE_CHANGES;
            host.sum(def, attributes, self.started, count);
        }
        Ok(())
    }
}

/// What is known of the driver.
fn driver_attributes(driver: &Driver) -> Vec<Attribute> {
    let texts: [(&'static AttributeDef, &str); 3] = [
        (&attribute::LINUX_NETWORK_DRIVER, &driver.name),
        (&attribute::HW_DRIVER_VERSION, &driver.version),
        (&attribute::HW_FIRMWARE_VERSION, &driver.firmware),
    ];
    let known = texts.into_iter().filter(|(_, text)| !text.is_empty());
    known.map(|(key, text)| (key, Value::from(text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_listed_by_name_or_by_an_expression_for_the_whole_name() {
        let listed =
            Listed::new(&["eth0".to_owned(), "ens.*|bond[0-9]".to_owned(), "(".to_owned()]);
        for name in ["eth0", "ens3f0", "bond4", "("] {
            assert!(listed.has(name), "{name}");
        }
        for name in ["eth01", "veth0", "lens0", "bond42", ""] {
            assert!(!listed.has(name), "{name}");
        }
    }
}
