// SPDX-License-Identifier: Apache-2.0
//! From a late packet to its event.

use std::sync::Arc;

use ebpf::network_receive_latency::records::{RECEIVE_DRIVER_TO_USER, late_packet};
use semconv::{attribute, event};

use super::clock::is_across_step;
use crate::entity::Entities;
use crate::kernel::{boot_offset, boot_to_unix};
use crate::probes::network::packet::{Ends, PacketOwners, attributes};
use crate::probes::{
    Decode, DecodeContext, Malformed, StartContext, Suppression, Whom, record, suppressed_before,
};
use crate::signal::{Event, Resource, Value};

pub(super) struct LateDecoder {
    owners: PacketOwners,
    /// QoS classes of pods that are left out.
    excluded_qos: Vec<String>,
    /// CLOCK_REALTIME minus CLOCK_BOOTTIME, in ns.
    offset: fn() -> i64,
    last: Option<Told>,
    /// Events of the same packet held back since.
    repeats: u32,
}

/// What an event has told: a reader that takes a packet in pieces has it told with each.
#[derive(PartialEq, Eq)]
struct Told {
    ends: Ends,
    sequence: u32,
    stage: u32,
}

impl LateDecoder {
    pub(super) fn new(cx: &StartContext<'_>) -> Self {
        Self {
            owners: PacketOwners::new(cx.fs),
            excluded_qos: cx.config.event_tracing.net_rx_latency.excluded_container_qos.clone(),
            offset: boot_offset,
            last: None,
            repeats: 0,
        }
    }

    /// The last stage runs in the reader itself.
    fn owner(&mut self, late: &late_packet, reader: &Whom, entities: &Entities) -> Arc<Resource> {
        match &reader.container {
            Some(container) if late.stage == RECEIVE_DRIVER_TO_USER => {
                Arc::clone(&container.resource)
            }
            _ => self.owners.owner(&late.packet, entities),
        }
    }

    /// Why it is not told.
    fn suppression(
        &mut self,
        late: &late_packet,
        ends: Ends,
        owner: &Resource,
    ) -> Option<Suppression> {
        if is_across_step(late, (self.offset)()) {
            return Some(Suppression::ClockStep);
        }
        let qos = owner.text(&attribute::K8S_POD_QOS_CLASS);
        if self.excluded_qos.iter().any(|excluded| excluded.eq_ignore_ascii_case(qos)) {
            return Some(Suppression::Excluded);
        }
        let told = Some(Told { ends, sequence: late.packet.sequence, stage: late.stage });
        if told == self.last {
            self.repeats = self.repeats.saturating_add(1);
            return Some(Suppression::Backoff);
        }
        self.last = told;
        None
    }

    fn tell(&mut self, late: &late_packet, cx: &mut DecodeContext<'_>) -> Result<(), Malformed> {
        let ends = Ends::of(&late.packet)?;
        let stages = attribute::LINUX_NETWORK_RECEIVE_STAGE.members;
        let stage = *stages.get(late.stage as usize).ok_or(Malformed)?;
        let current = Whom::of(&late.current, cx.entities);
        let owner = self.owner(late, &current, cx.entities);
        if let Some(why) = self.suppression(late, ends, &owner) {
            cx.suppress(&event::LINUX_NETWORK_RECEIVE_DELAYED, why);
            return Ok(());
        }
        let delay = late.delay_ns as f64 / 1e9;
        let body = format!("TCP packet late, {}: {stage} took {delay:.3} s", ends.shown());
        let mut all = attributes(&late.packet, ends);
        all.extend(current.attributes());
        all.push((&attribute::LINUX_NETWORK_RECEIVE_STAGE, Value::Static(stage)));
        all.push((&attribute::LINUX_NETWORK_RECEIVE_DELAY, delay.into()));
        let issue = cx.known_issues.label(&searched(&body, &current, ends, delay));
        all.extend(issue.map(|label| (&attribute::HUATUO_KNOWN_ISSUE, label.into())));
        all.extend(suppressed_before(std::mem::take(&mut self.repeats)));
        let time = boot_to_unix(late.time_ns);
        cx.raise(Event::new(&event::LINUX_NETWORK_RECEIVE_DELAYED, time, owner, all, body));
        Ok(())
    }
}

/// What expressions of `IssuesList` are looked for in: the body, and words as HUATUO's titles have.
fn searched(body: &str, current: &Whom, ends: Ends, delay: f64) -> String {
    let Ends { source, destination, .. } = ends;
    let (comm, ms) = (&current.comm, (delay * 1e3) as u64);
    let (saddr, sport, daddr, dport) =
        (source.ip(), source.port(), destination.ip(), destination.port());
    format!(
        "{body} comm={comm} lat(ms)={ms} saddr={saddr} sport={sport} daddr={daddr} dport={dport}"
    )
}

impl Decode for LateDecoder {
    fn decode(&mut self, bytes: &[u8], cx: &mut DecodeContext<'_>) -> Result<(), Malformed> {
        self.tell(&record(bytes)?, cx)
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use serde_json::json;
    use zerocopy::FromZeros;

    use super::*;
    use crate::config::{Config, KnownIssue};
    use crate::export::document::document;
    use crate::hostfs::HostFs;
    use crate::kernel::Symbols;
    use crate::probes::KnownIssues;
    use crate::probes::network::packet::tests::packet;
    use crate::signal::EntityKind;

    fn late(stage: u32) -> late_packet {
        let mut late = late_packet::new_zeroed();
        late.packet = packet();
        (late.stage, late.delay_ns, late.clock.offset_ns) = (stage, 1_500_900_000, 7);
        (late.current.pid, late.current.comm[0]) = (42, b'x'.cast_signed());
        late
    }

    struct Machine {
        _root: tempfile::TempDir,
        entities: Entities,
        decoder: LateDecoder,
    }

    impl Machine {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let fs = HostFs::new(root.path());
            let decoder = LateDecoder {
                owners: PacketOwners::new(&fs),
                excluded_qos: vec!["besteffort".to_owned()],
                offset: || 7,
                last: None,
                repeats: 0,
            };
            let entities = Entities::discover(&Config::default(), &fs);
            Self { _root: root, entities, decoder }
        }

        fn told(&mut self, late: &late_packet) -> Result<Result<Event, Suppression>, Malformed> {
            let issue = |label: &str, text: &str| KnownIssue(label.to_owned(), text.to_owned());
            let issues = [issue("slow", "driver_to_user"), issue("known", "comm=x .*sport=8080")];
            let (symbols, issues) = (Symbols::default(), KnownIssues::new(&issues));
            let mut cx = DecodeContext::new(&self.entities, &symbols, &issues);
            self.decoder.tell(late, &mut cx)?;
            let (mut events, suppressed) = cx.into_found();
            Ok(events.pop().ok_or_else(|| suppressed[0].1))
        }
    }

    #[test]
    fn a_late_packet_has_huatuos_fields() {
        let event = Machine::new().told(&late(2)).unwrap().unwrap();
        let expected =
            "TCP packet late, 10.0.0.1:8080 to 10.0.0.2:49000: driver_to_user took 1.501 s";
        assert_eq!(event.body, expected);
        assert_eq!(event.get(&attribute::LINUX_NETWORK_RECEIVE_DELAY), Some(&1.5009.into()));
        assert_eq!(event.get(&attribute::HUATUO_KNOWN_ISSUE), Some(&"slow".into()));
        let data = &document(&event, &TimeZone::UTC)["tracer_data"];
        assert_eq!(
            *data,
            json!({
                "comm": "x", "pid": 42, "where": "TO_USER_COPY", "latency_ms": 1500,
                "state": "ESTABLISHED", "saddr": "10.0.0.1", "daddr": "10.0.0.2",
                "sport": 8080, "dport": 49000, "seq": u32::MAX, "ack_seq": 7, "pkt_len": 1460,
            })
        );
    }

    #[test]
    fn a_packet_that_is_read_in_pieces_is_told_once() {
        let mut machine = Machine::new();
        assert!(machine.told(&late(2)).unwrap().is_ok());
        assert_eq!(machine.told(&late(2)).unwrap().err(), Some(Suppression::Backoff));
        let next = machine.told(&late(1)).unwrap().unwrap();
        // As HUATUO's own example has it.
        assert_eq!(next.get(&attribute::HUATUO_KNOWN_ISSUE), Some(&"known".into()));
        assert_eq!(next.get(&attribute::HUATUO_EVENT_SUPPRESSED_BEFORE), Some(&1_i64.into()));
        assert!(machine.told(&late(2)).unwrap().is_ok());
    }

    #[test]
    fn what_the_clock_or_the_configuration_rules_out_is_not_told() {
        let mut machine = Machine::new();
        let mut outdated = late(2);
        outdated.clock.offset_ns = 5_000_000_000;
        assert_eq!(machine.told(&outdated).unwrap().err(), Some(Suppression::ClockStep));
        let qos = (&attribute::K8S_POD_QOS_CLASS, Value::Static("BestEffort"));
        let pod = Resource::new(EntityKind::Pod, vec![qos]);
        let ends = Ends::of(&late(2).packet).unwrap();
        let why = machine.decoder.suppression(&late(2), ends, &pod);
        assert_eq!(why, Some(Suppression::Excluded));
    }

    #[test]
    fn a_stage_that_does_not_exist_is_malformed() {
        assert_eq!(Machine::new().told(&late(3)).err(), Some(Malformed));
    }
}
