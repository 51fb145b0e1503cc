// SPDX-License-Identifier: Apache-2.0
//! Walks the registry: what every entry must be, so that no single entry has to be looked at.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::{BTreeMap, BTreeSet};

use semconv::{
    AttributeDef, FieldPattern, Instrument, LegacyKind, MetricDef, attribute, docs, event, family,
    metric,
};

/// `a.b_c.d`: lower-case words with `_`, namespaces with `.`.
fn is_name(name: &str) -> bool {
    let is_word = |word: &str| {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        !word.is_empty()
            && word.chars().all(legal)
            && !word.starts_with('_')
            && !word.ends_with('_')
            && !word.contains("__")
    };
    name.len() <= 255 && name.split('.').all(is_word)
}

fn last_word(name: &str) -> &str {
    name.rsplit('.').next().unwrap()
}

fn is_own(def: &MetricDef) -> bool {
    let foreign = metric::UPSTREAM.iter().chain(metric::DEFACTO);
    !foreign.into_iter().any(|other| other.name == def.name)
}

fn problems(found: impl IntoIterator<Item = String>) {
    let found: Vec<String> = found.into_iter().collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn names_are_legal_and_belong_to_one_thing() {
    let metrics = metric::ALL.iter().map(|def| def.name);
    let events = event::ALL.iter().map(|def| def.name);
    let keys = attribute::ALL.iter().map(|def| def.key);
    problems(metrics.chain(events).chain(keys).filter(|name| !is_name(name)).map(str::to_owned));
    let names: BTreeSet<&str> = metric::ALL.iter().map(|def| def.name).collect();
    assert_eq!(names.len(), metric::ALL.len());
}

#[test]
fn no_metric_is_also_a_namespace() {
    let inside = |def: &&&MetricDef| {
        let prefix = format!("{}.", def.name);
        metric::ALL.iter().any(|other| other.name.starts_with(&prefix))
    };
    problems(metric::ALL.iter().filter(inside).map(|def| def.name.to_owned()));
}

#[test]
fn units_are_ucum_and_stay_out_of_names() {
    let known = ["s", "By", "By/s", "1", "Hz", "Cel", "W", "J"];
    for def in metric::ALL {
        let unit = def.unit.trim_end_matches("/s");
        let annotated = unit.starts_with('{') && unit.ends_with('}');
        assert!(annotated || known.contains(&def.unit), "{}: {}", def.name, def.unit);
        let words: Vec<&str> = def.name.split(['.', '_']).collect();
        // What others have named stays as it is.
        for word in ["total", "bytes", "seconds", "ms", "percent", "ratio"] {
            assert!(!is_own(def) || !words.contains(&word), "{}: `{word}` in a name", def.name);
        }
    }
}

#[test]
fn reserved_endings_have_their_instrument_and_unit() {
    for def in metric::ALL {
        let wanted = match last_word(def.name) {
            "time" => Some((Instrument::Counter, "s")),
            "duration" => Some((Instrument::Histogram, "s")),
            "io" => Some((Instrument::Counter, "By")),
            "utilization" => Some((Instrument::Gauge, "1")),
            _ => None,
        };
        if let Some(wanted) = wanted {
            assert_eq!((def.instrument, def.unit), wanted, "{}", def.name);
        }
        if matches!(last_word(def.name), "usage" | "limit") {
            assert_eq!(def.instrument, Instrument::UpDownCounter, "{}", def.name);
        }
    }
}

#[test]
fn only_counters_are_plural() {
    let plural = |def: &&&MetricDef| {
        is_own(def)
            && def.instrument == Instrument::UpDownCounter
            && last_word(def.name).ends_with('s')
            && !last_word(def.name).ends_with("status")
    };
    problems(metric::ALL.iter().filter(plural).map(|def| def.name.to_owned()));
}

#[test]
fn own_names_stand_below_our_own_roots() {
    // MetaX is the vendor of its words.
    let roots = ["linux.", "huatuo.", "metax."];
    let own_root = |name: &str| roots.iter().any(|root| name.starts_with(root));
    let metrics = metric::ALL.iter().filter(|def| is_own(def)).map(|def| def.name);
    let events = event::ALL.iter().map(|def| def.name);
    problems(metrics.chain(events).filter(|name| !own_root(name)).map(str::to_owned));
    let upstream = |key: &str| attribute::UPSTREAM.iter().any(|def| def.key == key);
    // Receivers of the Collector ship these.
    let defacto = ["k8s.pod.qos_class", "system.pressure.stall_type"];
    let keys = attribute::ALL.iter().map(|def| def.key).filter(|key| !defacto.contains(key));
    problems(keys.filter(|key| !own_root(key) && !upstream(key)).map(str::to_owned));
}

#[test]
fn every_sentence_ends_like_one() {
    let briefs = metric::ALL.iter().map(|def| (def.name, def.brief));
    let briefs = briefs.chain(event::ALL.iter().map(|def| (def.name, def.brief)));
    let briefs = briefs.chain(attribute::ALL.iter().map(|def| (def.key, def.brief)));
    let wrong = briefs.filter(|(_, brief)| !brief.ends_with('.') || brief.len() > 160);
    problems(wrong.map(|(name, brief)| format!("{name}: {brief}")));
}

#[test]
fn legacy_names_are_legal_and_each_is_made_once() {
    let mut made: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for def in metric::ALL {
        for legacy in def.legacy {
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
            assert!(legacy.name.chars().all(legal), "{}", legacy.name);
            assert!(legacy.factor > 0.0 && legacy.factor.is_finite(), "{}", legacy.name);
            assert!(!legacy.help.is_empty(), "{}", legacy.name);
            made.entry(legacy.name).or_default().push(def.name.to_owned());
            if legacy.kind == LegacyKind::Counter {
                assert_eq!(def.instrument, Instrument::Counter, "{}", legacy.name);
                assert!(legacy.name.ends_with("_total"), "{}", legacy.name);
            }
        }
    }
    // What HUATUO shows of a container belongs to its pod, or to itself where it has none.
    let of_pod_or_container = [
        ["container.network.io", "k8s.pod.network.io"],
        ["k8s.pod.network.errors", "linux.network.interface.packet.errors"],
    ];
    made.retain(|_, makers| {
        makers.sort();
        makers.len() > 1 && !of_pod_or_container.iter().any(|both| makers == both)
    });
    assert!(made.is_empty(), "{made:#?}");
}

#[test]
fn zones_are_bounds_of_their_histogram() {
    for def in metric::ALL {
        let ascending = def.bounds.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(ascending, "{}: {:?}", def.name, def.bounds);
        for legacy in def.legacy {
            for edge in legacy.zones {
                assert!(def.bounds.contains(edge), "{}: {edge} is no bound", legacy.name);
            }
            let zoned = !legacy.zones.is_empty();
            assert_eq!(zoned, def.instrument == Instrument::Histogram, "{}", legacy.name);
        }
    }
}

#[test]
fn selections_use_words_that_the_attribute_can_have() {
    for def in metric::ALL {
        for select in def.legacy.iter().flat_map(|legacy| legacy.select) {
            let members = select.attribute.members;
            for value in select.values.iter().filter(|_| !members.is_empty()) {
                assert!(members.contains(value), "{}: {value}", def.name);
            }
        }
    }
}

#[test]
fn fields_of_documents_come_from_the_record_or_its_resource() {
    let resources: BTreeSet<&str> = RESOURCES.iter().map(|def| def.key).collect();
    for def in event::ALL {
        for field in def.legacy.fields {
            let Some(key) = field.attribute.map(|def| def.key) else { continue };
            let on_record = def.attributes.iter().any(|def| def.key == key);
            assert!(on_record || resources.contains(key), "{}: {}", def.name, field.key);
        }
        let keys: BTreeSet<&str> = def.legacy.fields.iter().map(|field| field.key).collect();
        assert_eq!(keys.len(), def.legacy.fields.len(), "{}", def.name);
    }
}

/// Attributes that Resources carry.
const RESOURCES: &[&AttributeDef] = &[
    &attribute::CLOUD_REGION,
    &attribute::CONTAINER_ID,
    &attribute::CONTAINER_IMAGE_NAME,
    &attribute::CONTAINER_IMAGE_TAGS,
    &attribute::CONTAINER_NAME,
    &attribute::CONTAINER_RUNTIME_NAME,
    &attribute::HOST_ARCH,
    &attribute::HOST_ID,
    &attribute::HOST_NAME,
    &attribute::HUATUO_CONTAINER_TYPE,
    &attribute::K8S_CONTAINER_NAME,
    &attribute::K8S_NAMESPACE_NAME,
    &attribute::K8S_POD_HOSTNAME,
    &attribute::K8S_POD_NAME,
    &attribute::K8S_POD_QOS_CLASS,
    &attribute::K8S_POD_UID,
    &attribute::K8S_NODE_NAME,
    &attribute::K8S_CONTAINER_RESTART_COUNT,
    &attribute::LINUX_KERNEL_RELEASE,
    &attribute::OS_NAME,
    &attribute::OS_TYPE,
    &attribute::OS_VERSION,
    &attribute::PROCESS_EXECUTABLE_PATH,
    &attribute::PROCESS_PID,
    &attribute::SERVICE_INSTANCE_ID,
    &attribute::SERVICE_NAME,
    &attribute::SERVICE_VERSION,
    &attribute::TELEMETRY_DISTRO_NAME,
    &attribute::TELEMETRY_DISTRO_VERSION,
];

#[test]
fn every_attribute_is_carried_by_something() {
    let metrics = metric::ALL.iter().flat_map(|def| def.attributes);
    let events = event::ALL.iter().flat_map(|def| def.attributes);
    let families = family::ALL.iter().flat_map(|family| family.attributes);
    let others = docs::COMMON.iter().chain(RESOURCES).chain(families);
    let carried: BTreeSet<&str> = metrics.chain(events).chain(others).map(|def| def.key).collect();
    let dead = attribute::ALL.iter().filter(|def| !carried.contains(def.key));
    problems(dead.map(|def| def.key.to_owned()));
}

#[test]
fn no_rule_of_a_family_is_hidden_by_those_before_it() {
    for family in family::ALL {
        for (index, rule) in family.rules.iter().enumerate() {
            let hides = |earlier: &FieldPattern| match (earlier, rule.pattern) {
                (FieldPattern::Any, _) => true,
                (FieldPattern::Exact(a), FieldPattern::Exact(b)) => *a == b,
                (FieldPattern::Prefix(a), FieldPattern::Exact(b) | FieldPattern::Prefix(b)) => {
                    b.starts_with(a)
                }
                _ => false,
            };
            let hidden = family.rules[..index].iter().any(|earlier| hides(&earlier.pattern));
            assert!(!hidden, "{}: {:?}", family.prefix, rule.pattern);
        }
        let last = family.rules.last().unwrap().pattern;
        assert_eq!(last, FieldPattern::Any, "{}", family.prefix);
    }
}

#[test]
fn words_of_vmstat_get_their_kind_and_unit() {
    for (word, instrument, unit, factor) in [
        ("pgpgin", Instrument::Counter, "By", 1024),
        ("nr_kernel_stack", Instrument::UpDownCounter, "By", 1024),
        ("nr_free_pages", Instrument::UpDownCounter, "{page}", 1),
        ("nr_dirtied", Instrument::Counter, "{page}", 1),
        ("nr_tlb_local_flush_all", Instrument::Counter, "{flush}", 1),
        ("pgfault", Instrument::Counter, "{fault}", 1),
        ("oom_kill", Instrument::Counter, "{kill}", 1),
        ("workingset_nodes", Instrument::UpDownCounter, "{node}", 1),
        ("pgscan_direct", Instrument::Counter, "{page}", 1),
        ("something_new", Instrument::Counter, "{event}", 1),
    ] {
        let field = family::VMSTAT.field(word).unwrap();
        let found = (field.metric.instrument, field.metric.unit, field.factor);
        assert_eq!(found, (instrument, unit, factor), "{word}");
        assert_eq!(field.metric.name, format!("linux.vmstat.{word}"));
        assert_eq!(field.metric.legacy[0].name, format!("memory_vmstat_{word}"));
        // The legacy page has the kernel's own number.
        assert!((field.metric.legacy[0].factor * factor as f64 - 1.0).abs() < 1e-12);
    }
}

#[test]
fn metrics_have_words_in_lower_case_and_the_legacy_page_the_kernels() {
    let metric = family::RDMA.field("VL15_dropped").unwrap().metric;
    assert_eq!((metric.name, metric.unit), ("linux.rdma.vl15_dropped", "{packet}"));
    assert_eq!(metric.legacy[0].name, "netdev_rdma_link_VL15_dropped");
}

#[test]
fn what_is_no_word_of_a_kernel_gives_no_metric() {
    for word in ["", "a b", "Nr_free", "nr-free", "a.b", &"x".repeat(65), "ä"] {
        assert!(family::VMSTAT.field(word).is_none(), "{word}");
    }
    let again = family::VMSTAT.field("pgfault").unwrap().metric;
    assert!(std::ptr::eq(again, family::VMSTAT.field("pgfault").unwrap().metric));
}
