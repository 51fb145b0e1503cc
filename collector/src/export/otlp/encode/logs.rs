// SPDX-License-Identifier: Apache-2.0
//! Events as `ExportLogsServiceRequest`s.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Proto;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message;
use semconv::{SCHEMA_URL, UPSTREAM_SCHEMA_URL, attribute};

use super::{Packer, Request, resource, scope, value};
use crate::signal::{Event, Value};

/// Bytes of one record. What is larger has its longest texts cut.
const MAX_RECORD: usize = 256 * 1024;

/// What a text is cut to, at first and then shorter and shorter.
const FIRST_CUT: usize = 64 * 1024;

/// Requests of at most `limit` bytes, cut between records. `cloud_events` adds the attributes that
/// name the CloudEvent which the record is.
pub fn logs(events: &[Arc<Event>], limit: usize, cloud_events: bool) -> Vec<Request> {
    let mut packer = Packer::new(limit);
    for run in events.chunk_by(|a, b| Arc::ptr_eq(&a.resource, &b.resource)) {
        pack(&mut packer, run, cloud_events);
    }
    packer.finish()
}

/// Packs neighbours of one Resource.
fn pack(packer: &mut Packer, events: &[Arc<Event>], cloud_events: bool) {
    let Some(first) = events.first() else { return };
    let message = ResourceLogs {
        resource: Some(resource(&first.resource)),
        scope_logs: events
            .chunk_by(|a, b| a.def.probe == b.def.probe)
            .map(|run| ScopeLogs {
                scope: Some(scope(run[0].def.probe)),
                log_records: run.iter().map(|event| record(event, cloud_events)).collect(),
                schema_url: SCHEMA_URL.to_owned(),
            })
            .collect(),
        schema_url: UPSTREAM_SCHEMA_URL.to_owned(),
    };
    if events.len() > 1 && !packer.fits(message.encoded_len()) {
        drop(message);
        let (first, second) = events.split_at(events.len() / 2);
        pack(packer, first, cloud_events);
        pack(packer, second, cloud_events);
    } else {
        packer.push(&message.encode_to_vec(), events.len() as u64);
    }
}

fn record(event: &Event, cloud_events: bool) -> LogRecord {
    let uid = event.uid.to_string();
    let mut attributes = value::attributes(&event.attributes);
    attributes.extend([
        value::text(attribute::HUATUO_TRACER_NAME.key, event.def.legacy.tracer),
        value::text(attribute::HUATUO_TRACER_ID.key, uid.as_str()),
        value::text(attribute::HUATUO_TRACER_RUN_TYPE.key, event.run_type.as_str()),
    ]);
    if cloud_events {
        attributes.extend(cloud_event(event, &uid));
    }
    attributes.push(value::text(attribute::LOG_RECORD_UID.key, uid));
    let mut record = LogRecord {
        time_unix_nano: event.time,
        observed_time_unix_nano: event.observed,
        severity_number: event.severity.0.into(),
        severity_text: event.severity.text().to_owned(),
        body: Some(value::any_text(&event.body)),
        attributes,
        event_name: event.def.name.to_owned(),
        ..Default::default()
    };
    truncate(&mut record);
    record
}

fn cloud_event(event: &Event, uid: &str) -> [KeyValue; 5] {
    [
        value::text(attribute::CLOUDEVENTS_EVENT_ID.key, uid),
        value::text(attribute::CLOUDEVENTS_EVENT_SOURCE.key, event.source()),
        value::text(attribute::CLOUDEVENTS_EVENT_SPEC_VERSION.key, Event::CLOUDEVENTS_VERSION),
        value::text(attribute::CLOUDEVENTS_EVENT_TYPE.key, Event::CLOUDEVENTS_TYPE),
        value::text(attribute::CLOUDEVENTS_EVENT_SUBJECT.key, event.subject()),
    ]
}

/// Cuts long texts until the record is small enough, and says so on it.
fn truncate(record: &mut LogRecord) {
    let mut cut = FIRST_CUT;
    while record.encoded_len() > MAX_RECORD && cut > 0 {
        for attribute in &mut record.attributes {
            shorten(attribute, cut);
        }
        let mark = attribute::HUATUO_TRUNCATED.key;
        if !record.attributes.iter().any(|attribute| attribute.key == mark) {
            let truth = value::any_value(&Value::Bool(true));
            record.attributes.push(value::key_value(mark, truth));
        }
        cut /= 2;
    }
}

fn shorten(attribute: &mut KeyValue, length: usize) {
    let value = attribute.value.as_mut().and_then(|value| value.value.as_mut());
    match value {
        Some(Proto::StringValue(text)) => text.truncate(text.floor_char_boundary(length)),
        // Lists of stacks: the first ones stay.
        Some(Proto::ArrayValue(array)) if array.encoded_len() > length => {
            array.values.truncate(array.values.len() / 2);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use semconv::event;
    use uuid::Uuid;

    use super::super::MAX_REQUEST;
    use super::*;
    use crate::signal::{EntityKind, Resource, RunType, Severity};

    fn host() -> Arc<Resource> {
        let attributes = vec![(&attribute::HOST_NAME, Value::Static("node-1"))];
        Arc::new(Resource::new(EntityKind::Host, attributes))
    }

    fn oom(resource: &Arc<Resource>, comm: &str) -> Arc<Event> {
        Arc::new(Event {
            uid: Uuid::from_u128(1),
            def: &event::LINUX_MEMORY_OOM_KILL,
            time: 10,
            observed: 11,
            severity: Severity(17),
            run_type: RunType::Auto,
            resource: Arc::clone(resource),
            attributes: vec![
                (&attribute::PROCESS_PID, Value::Int(42)),
                (&attribute::THREAD_NAME, comm.into()),
            ],
            body: "OOM kill".to_owned(),
        })
    }

    fn decode(request: &Request) -> ExportLogsServiceRequest {
        ExportLogsServiceRequest::decode(&*request.body).unwrap()
    }

    fn texts(record: &LogRecord) -> Vec<(&str, &str)> {
        let text = |attribute: &KeyValue| match attribute.value.clone()?.value? {
            Proto::StringValue(text) => Some(text),
            _ => None,
        };
        record.attributes.iter().filter_map(|a| Some((a.key.as_str(), &*text(a)?.leak()))).collect()
    }

    #[test]
    fn a_record_has_name_severity_times_and_the_attributes_of_a_cloud_event() {
        let requests = logs(&[oom(&host(), "java")], MAX_REQUEST, true);
        let decoded = decode(&requests[0]);
        let scope = &decoded.resource_logs[0].scope_logs[0];
        assert_eq!(scope.scope.as_ref().unwrap().name, "huatuo-otel/memory.oom");
        let record = &scope.log_records[0];
        assert_eq!(record.event_name, "linux.memory.oom_kill");
        assert_eq!((record.severity_number, record.severity_text.as_str()), (17, "ERROR"));
        assert_eq!((record.time_unix_nano, record.observed_time_unix_nano), (10, 11));
        let texts = texts(record);
        for expected in [
            ("thread.name", "java"),
            ("huatuo.tracer.name", "oom"),
            ("huatuo.tracer.run_type", "auto"),
            ("log.record.uid", "00000000-0000-0000-0000-000000000001"),
            ("cloudevents.event_id", "00000000-0000-0000-0000-000000000001"),
            ("cloudevents.event_source", "/huatuo/node-1/oom"),
            ("cloudevents.event_spec_version", "1.0"),
            ("cloudevents.event_type", "tech.huatuo.kernel.event"),
            ("cloudevents.event_subject", "node-1"),
        ] {
            assert!(texts.contains(&expected), "{expected:?} is not in {texts:?}");
        }
    }

    #[test]
    fn attributes_of_cloud_events_can_be_turned_off() {
        let decoded = decode(&logs(&[oom(&host(), "java")], MAX_REQUEST, false)[0]);
        let record = &decoded.resource_logs[0].scope_logs[0].log_records[0];
        assert!(texts(record).iter().all(|(key, _)| !key.starts_with("cloudevents.")));
    }

    #[test]
    fn events_are_grouped_by_resource_and_cut_below_the_limit() {
        let (one, other) = (host(), host());
        let events: Vec<_> = (0..10).map(|i| oom(if i < 5 { &one } else { &other }, "x")).collect();
        let whole = logs(&events, MAX_REQUEST, true);
        assert_eq!(decode(&whole[0]).resource_logs.len(), 2);
        let limit = whole[0].body.len() / 3;
        let cut = logs(&events, limit, true);
        assert!(cut.len() > 2 && cut.iter().all(|request| request.body.len() <= limit));
        assert_eq!(cut.iter().map(|request| request.items).sum::<u64>(), 10);
    }

    #[test]
    fn a_record_that_is_too_large_is_cut_and_says_so() {
        let decoded = decode(&logs(&[oom(&host(), &"ä".repeat(400_000))], MAX_REQUEST, true)[0]);
        let record = &decoded.resource_logs[0].scope_logs[0].log_records[0];
        assert!(record.encoded_len() <= MAX_RECORD);
        assert!(record.attributes.iter().any(|a| a.key == "huatuo.truncated"));
    }
}
