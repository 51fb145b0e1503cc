// SPDX-License-Identifier: Apache-2.0
//! An event as HUATUO writes it: the document of files and search indexes, and the CloudEvent of
//! the watch endpoint.

mod field;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use semconv::{AttributeDef, attribute};
use serde_json::{Map, Value as Json, json};

use crate::signal::{EntityKind, Event, UnixNanos};

/// Fields that tell the container, with the attribute of its Resource that fills each.
const CONTAINER: [(&str, &AttributeDef); 5] = [
    ("container_id", &attribute::CONTAINER_ID),
    ("container_hostname", &attribute::K8S_POD_HOSTNAME),
    ("container_host_namespace", &attribute::K8S_NAMESPACE_NAME),
    ("container_type", &attribute::HUATUO_CONTAINER_TYPE),
    ("container_qos", &attribute::K8S_POD_QOS_CLASS),
];

/// The document of an event, with its times in `zone`.
pub fn document(event: &Event, zone: &TimeZone) -> Json {
    let time = legacy_time(event.time, zone);
    let mut out = Map::new();
    out.insert("hostname".to_owned(), hostname(event).into());
    out.insert("region".to_owned(), region(event).into());
    container(event, &mut out);
    out.insert("uploaded_time".to_owned(), zoned(event.observed, zone).into());
    out.insert("time".to_owned(), time.clone().into());
    out.insert("tracer_name".to_owned(), event.def.legacy.tracer.into());
    out.insert("tracer_id".to_owned(), event.uid.to_string().into());
    out.insert("tracer_time".to_owned(), time.into());
    out.insert("tracer_type".to_owned(), event.run_type.as_str().into());
    out.insert("tracer_data".to_owned(), tracer_data(event));
    Json::Object(out)
}

/// The CloudEvent of an event (CloudEvents 1.0, JSON format).
pub fn cloud_event(event: &Event) -> Json {
    json!({
        "specversion": Event::CLOUDEVENTS_VERSION,
        "id": event.uid.to_string(),
        "source": event.source(),
        "type": Event::CLOUDEVENTS_TYPE,
        "subject": event.subject(),
        "datacontenttype": "application/json",
        "time": utc(event.observed),
        "data": watch_data(event),
    })
}

fn watch_data(event: &Event) -> Json {
    let mut out = Map::new();
    out.insert("hostname".to_owned(), hostname(event).into());
    out.insert("region".to_owned(), region(event).into());
    out.insert("observed_timestamp".to_owned(), utc(event.time).into());
    out.insert("tracer_name".to_owned(), event.def.legacy.tracer.into());
    out.insert("tracer_id".to_owned(), event.uid.to_string().into());
    out.insert("tracer_run_type".to_owned(), event.run_type.as_str().into());
    container(event, &mut out);
    out.insert("tracer_data".to_owned(), tracer_data(event));
    Json::Object(out)
}

/// `node-1`
pub fn hostname(event: &Event) -> &str {
    event.resource.text(&attribute::HOST_NAME)
}

/// `cn-beijing`
pub fn region(event: &Event) -> &str {
    event.resource.text(&attribute::CLOUD_REGION)
}

/// The text of a container field; empty for events of the host and for what is not known.
pub fn container_field<'a>(event: &'a Event, field: &str) -> &'a str {
    let found = CONTAINER.iter().find(|(name, _)| *name == field);
    found.map_or("", |(_, def)| event.resource.text(def))
}

fn container(event: &Event, out: &mut Map<String, Json>) {
    // A pod has all but the id.
    if event.resource.kind != EntityKind::Host {
        for (field, def) in CONTAINER {
            out.insert(field.to_owned(), event.resource.text(def).into());
        }
    }
}

/// Every field that HUATUO documents is there; what is not known is empty.
fn tracer_data(event: &Event) -> Json {
    let fields = event.def.legacy.fields.iter();
    Json::Object(fields.map(|field| (field.key.to_owned(), field::value(event, field))).collect())
}

/// `2026-05-18T10:23:45.123456789Z`
pub fn utc(time: UnixNanos) -> String {
    timestamp(time).strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()
}

/// `2025-06-11T16:05:16.251152703+08:00`
fn zoned(time: UnixNanos, zone: &TimeZone) -> String {
    timestamp(time).to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S.%9f%:z").to_string()
}

/// `2025-06-11 16:05:16.251 +0800`
fn legacy_time(time: UnixNanos, zone: &TimeZone) -> String {
    timestamp(time).to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S.%3f %z").to_string()
}

fn timestamp(time: UnixNanos) -> Timestamp {
    Timestamp::from_nanosecond(time.into()).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use jiff::tz::offset;
    use semconv::event;
    use uuid::Uuid;

    use super::*;
    use crate::signal::{Resource, RunType, Severity, Value};

    /// An OOM kill in a container, or on the host where `container` is empty.
    pub(crate) fn oom(container: &str) -> Event {
        let mut attributes = vec![
            (&attribute::HOST_NAME, Value::Static("node-1")),
            (&attribute::CLOUD_REGION, Value::Static("dev")),
        ];
        let mut kind = EntityKind::Host;
        if !container.is_empty() {
            kind = EntityKind::Container;
            attributes.push((&attribute::CONTAINER_ID, container.into()));
            attributes.push((&attribute::K8S_NAMESPACE_NAME, Value::Static("prod")));
        }
        Event {
            uid: Uuid::from_u128(7),
            def: &event::LINUX_MEMORY_OOM_KILL,
            time: 1_749_632_947_236_482_841,
            observed: 1_749_632_947_236_999_000,
            severity: Severity(17),
            run_type: RunType::Auto,
            resource: Arc::new(Resource::new(kind, attributes)),
            attributes: vec![
                (&attribute::PROCESS_PID, Value::Int(3_218_745)),
                (&attribute::THREAD_NAME, Value::Static("java")),
                (&attribute::LINUX_CGROUP_ID, Value::Int(255)),
                (&attribute::LINUX_OOM_TRIGGER_PROCESS_PID, Value::Int(3_218_804)),
            ],
            body: "OOM kill of java".to_owned(),
        }
    }

    fn keys(json: &Json) -> Vec<&str> {
        json.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn a_document_has_huatuos_fields_in_their_order_and_its_times_in_the_zone() {
        let document = document(&oom("c0ffee"), &TimeZone::fixed(offset(8)));
        assert_eq!(
            keys(&document),
            [
                "hostname",
                "region",
                "container_id",
                "container_hostname",
                "container_host_namespace",
                "container_type",
                "container_qos",
                "uploaded_time",
                "time",
                "tracer_name",
                "tracer_id",
                "tracer_time",
                "tracer_type",
                "tracer_data"
            ]
        );
        assert_eq!(document["time"], "2025-06-11 17:09:07.236 +0800");
        assert_eq!(document["tracer_time"], document["time"]);
        assert_eq!(document["uploaded_time"], "2025-06-11T17:09:07.236999000+08:00");
        assert_eq!(document["tracer_type"], "auto");
        assert_eq!(document["container_host_namespace"], "prod");
    }

    #[test]
    fn data_of_an_oom_has_all_ten_fields_known_or_not() {
        let data = &document(&oom("c0ffee"), &TimeZone::UTC)["tracer_data"];
        assert_eq!(data.as_object().unwrap().len(), 10);
        assert_eq!(data["victim_pid"], 3_218_745);
        assert_eq!(data["victim_process_name"], "java");
        assert_eq!(data["victim_memcg_css"], "0xff");
        assert_eq!(data["victim_container_id"], "c0ffee");
        assert_eq!(data["trigger_pid"], 3_218_804);
        assert_eq!(data["trigger_container_id"], "");
    }

    #[test]
    fn an_event_of_the_host_has_no_container_fields() {
        let document = document(&oom(""), &TimeZone::UTC);
        assert!(keys(&document).iter().all(|key| !key.starts_with("container_")));
        assert_eq!(document["tracer_data"]["victim_container_id"], "");
    }

    #[test]
    fn a_cloud_event_has_the_envelope_and_the_data() {
        let event = cloud_event(&oom("c0ffee"));
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["id"], "00000000-0000-0000-0000-000000000007");
        assert_eq!(event["source"], "/huatuo/node-1/oom");
        assert_eq!(event["type"], "tech.huatuo.kernel.event");
        assert_eq!(event["subject"], "c0ffee");
        assert_eq!(event["datacontenttype"], "application/json");
        assert_eq!(event["time"], "2025-06-11T09:09:07.236999000Z");
        let data = &event["data"];
        assert_eq!(data["observed_timestamp"], "2025-06-11T09:09:07.236482841Z");
        assert_eq!((&data["hostname"], &data["region"]), (&json!("node-1"), &json!("dev")));
        assert_eq!(data["tracer_run_type"], "auto");
        assert_eq!(data["tracer_data"]["victim_pid"], 3_218_745);
    }
}
