// SPDX-License-Identifier: Apache-2.0
//! Ports of bonds that begin or cease to take part in the aggregation (IEEE 802.1AX, LACP).
//! Source: routing netlink, where bonding announces each port whose state changes
//! (drivers/net/bonding/bond_3ad.c); `/proc/net/bonding` says how all of it is then. Signals: the
//! event `linux.network.bond.lacp.state_changed`, `linux.network.bond.lacp.changes`.

mod decoder;
mod ports;

use std::sync::Arc;

use semconv::{attribute, metric};

use crate::kernel::unix_now;
use crate::netlink::Subscription;
use crate::probes::network::counts::Counts;
use crate::probes::{
    Built, Collect, CollectError, EventSource, Probe, ProbeDef, StartContext, StartError, Started,
};
use crate::signal::{Recorder, UnixNanos, Value};
use decoder::LacpDecoder;

/// The probe. It waits for bonds where there is none.
pub static PROBE: ProbeDef = ProbeDef {
    name: "network.lacp",
    legacy_names: &["netdev_bonding_lacp", "lacp"],
    start: |cx| Started::from_built(start(cx)),
    decoder: Some(|cx| Box::new(LacpDecoder::new(cx.fs, Arc::default()))),
};

/// What is counted: a bond, and a word of `linux.network.bond.lacp.state`.
type Change = (Arc<str>, &'static str);

fn start(cx: &StartContext<'_>) -> Result<Built, StartError> {
    let counts = Arc::<Counts<Change>>::default();
    let source = EventSource::netlink(Subscription::links()?);
    let events = source.decoded_by(LacpDecoder::new(cx.fs, Arc::clone(&counts)));
    Ok(Built { probe: Box::new(Lacp { counts, started: unix_now() }), events: Some(events) })
}

struct Lacp {
    counts: Arc<Counts<Change>>,
    started: UnixNanos,
}

impl Probe for Lacp {
    /// A bond has its points once it has a port that speaks LACP.
    fn collect(&mut self, _: &mut Collect<'_>, out: &mut Recorder) -> Result<(), CollectError> {
        let mut host = out.host();
        for ((bond, state), count) in self.counts.list() {
            let attributes = vec![
                (&attribute::NETWORK_INTERFACE_NAME, Value::Str(bond)),
                (&attribute::LINUX_NETWORK_BOND_LACP_STATE, Value::Static(state)),
            ];
            host.sum(&metric::LINUX_NETWORK_BOND_LACP_CHANGES, attributes, self.started, count);
        }
        Ok(())
    }
}
