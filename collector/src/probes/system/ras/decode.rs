// SPDX-License-Identifier: Apache-2.0
//! Errors of the hardware as events.

use std::sync::Arc;
use std::time::Duration;

use ebpf::system_ras::records::{
    RAS_AER, RAS_ARM, RAS_EDAC, RAS_GHES, RAS_MCE, RAS_MCE_THRESHOLD, ras_head,
};
use semconv::{attribute, event};
use zerocopy::FromBytes;

use super::source::{self, Report};
use super::{SEVERITIES, SOURCES};
use crate::kernel::boot_to_unix;
use crate::probes::{
    Backoff, Decode, DecodeContext, Malformed, Suppression, record, suppressed_before,
};
use crate::signal::{Attribute, Event, Severity, Value};

/// Makes events of the records of all sources.
pub(super) struct HardwareErrorEvents {
    /// A CPU over its threshold goes on to interrupt.
    thresholds: Backoff,
}

impl HardwareErrorEvents {
    /// With so long between two events of thresholds.
    pub fn new(backoff: Duration) -> Self {
        Self { thresholds: Backoff::flat(backoff) }
    }
}

impl Decode for HardwareErrorEvents {
    fn decode(&mut self, bytes: &[u8], cx: &mut DecodeContext<'_>) -> Result<(), Malformed> {
        let (head, _) = ras_head::read_from_prefix(bytes).map_err(|_| Malformed)?;
        let (source, _) = at(&SOURCES, head.source)?;
        let (severity, number) = at(&SEVERITIES, head.severity)?;
        let report = report(&head, bytes, severity)?;
        let mut held = 0;
        if head.source == RAS_MCE_THRESHOLD {
            match self.thresholds.admit(head.time_ns) {
                Some(before) => held = before,
                None => {
                    cx.suppress(&event::LINUX_RAS_ERROR, Suppression::Backoff);
                    return Ok(());
                }
            }
        }
        let body = body(&report, source, severity);
        let mut attributes = attributes(report, source, severity);
        attributes.extend(suppressed_before(held));
        let (time, host) = (boot_to_unix(head.time_ns), Arc::clone(cx.entities.host()));
        let mut event = Event::new(&event::LINUX_RAS_ERROR, time, host, attributes, body);
        event.severity = Severity(number);
        cx.raise(event);
        Ok(())
    }
}

fn at<T: Copy>(table: &[T], number: u32) -> Result<T, Malformed> {
    let index = usize::try_from(number).map_err(|_| Malformed)?;
    table.get(index).copied().ok_or(Malformed)
}

fn report(head: &ras_head, bytes: &[u8], severity: &str) -> Result<Report, Malformed> {
    Ok(match head.source {
        RAS_MCE => source::mce(&record(bytes)?),
        RAS_EDAC => source::edac(&record(bytes)?, huatuos(severity)),
        RAS_GHES => source::ghes(&record(bytes)?),
        RAS_AER => source::aer(&record(bytes)?, huatuos(severity)),
        RAS_MCE_THRESHOLD => source::threshold(&record(bytes)?),
        RAS_ARM => source::arm(&record(bytes)?),
        _ => return Err(Malformed),
    })
}

/// HUATUO's word for a severity, which is in its details too.
fn huatuos(severity: &str) -> &'static str {
    let fields = event::LINUX_RAS_ERROR.legacy.fields.iter();
    let mut words = fields.filter(|field| field.key == "type").flat_map(|field| field.words);
    words.find(|(word, _)| *word == severity).map_or("", |(_, huatuos)| huatuos)
}

fn attributes(report: Report, source: &'static str, severity: &'static str) -> Vec<Attribute> {
    let Report { id, cpu, kind, name, reasons, details } = report;
    let mut out: Vec<Attribute> = vec![
        (&attribute::LINUX_RAS_SOURCE, Value::Static(source)),
        (&attribute::LINUX_RAS_SEVERITY, Value::Static(severity)),
        (&attribute::HW_NAME, name.into()),
        (&attribute::LINUX_RAS_DETAILS, Value::Map(details)),
    ];
    out.extend(id.map(|id| (&attribute::HW_ID, id.into())));
    out.extend(kind.map(|kind| (&attribute::HW_TYPE, Value::Static(kind))));
    out.extend(reasons.first().map(|first| (&attribute::ERROR_TYPE, first.as_str().into())));
    if reasons.len() > 1 {
        let reasons = reasons.into_iter().map(Value::from).collect();
        out.push((&attribute::LINUX_RAS_REASONS, Value::Array(reasons)));
    }
    out.extend(cpu.map(|cpu| (&attribute::CPU_LOGICAL_NUMBER, Value::Int(cpu.into()))));
    out
}

fn body(report: &Report, source: &str, severity: &str) -> String {
    let Report { id, name, reasons, .. } = report;
    let shown = match id {
        Some(id) if !name.contains(id.as_str()) => format!("{name} {id}"),
        _ => name.clone(),
    };
    format!("{severity} error of {shown} ({source}): {}", reasons.join(", "))
}
