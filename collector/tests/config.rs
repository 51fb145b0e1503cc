// SPDX-License-Identifier: Apache-2.0
//! Files in `config/good` load; files in `config/bad` are refused with exactly what is expected.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::fs;
use std::path::{Path, PathBuf};

use huatuo_otel::config::{Config, Layers, Loaded, Overrides, Source, load};
use huatuo_otel::export::otlp::{Compression, Protocol};
use huatuo_otel::probes::PROBES;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(name)
}

fn files(name: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_none_or(|extension| extension != "expected"));
    files.sort();
    assert!(!files.is_empty());
    files
}

fn load_with(
    source: Source,
    variables: &[(&str, &str)],
    overrides: Overrides,
) -> Result<Loaded, Vec<String>> {
    let names = PROBES.iter().flat_map(|def| std::iter::once(&def.name).chain(def.legacy_names));
    let env = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    load(&Layers { source, env: &env, overrides, probes: names.copied().collect() })
        .map_err(|errors| errors.0)
}

fn load_file(path: &Path) -> Result<Loaded, Vec<String>> {
    load_with(Source::File(path.to_owned()), &[], Overrides::default())
}

fn leaves(table: &toml::Table) -> usize {
    table
        .iter()
        .map(|(key, value)| match value {
            toml::Value::Table(table) if key != "Filter" => leaves(table),
            toml::Value::Table(table) => table.len(),
            _ => 1,
        })
        .sum()
}

#[test]
fn good_files_load() {
    for path in files("good") {
        let loaded = load_file(&path);
        assert!(loaded.is_ok(), "{}: {:?}", path.display(), loaded.err());
    }
}

#[test]
fn a_file_of_huatuo_with_all_its_77_keys_loads_unchanged() {
    let path = folder("good").join("huatuo-bamai.conf");
    let table: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
    assert_eq!(leaves(&table), 77);
    let loaded = load_file(&path).unwrap();
    assert_eq!(loaded.config.storage.local_file.rotation_size, 100);
    assert_eq!(loaded.config.auto_tracing.issues_list[1].0, "known_issue2");
    assert_eq!(loaded.config.event_tracing.netdev.device_list.len(), 4);
    let later = loaded.notices.iter().filter(|notice| notice.ends_with("has no effect yet"));
    let of = |section: &str| later.clone().filter(|notice| notice.contains(section)).count();
    assert!(of("AutoTracing.") > 30, "{:#?}", loaded.notices);
    assert_eq!((of("EventsWatch."), of("MetricCollector.")), (0, 0), "{:#?}", loaded.notices);
}

#[test]
fn bad_files_tell_everything_that_is_wrong_with_file_and_line() {
    for path in files("bad") {
        let name = path.display();
        let errors = load_file(&path).unwrap_err();
        let Ok(expected) = fs::read_to_string(path.with_extension("expected")) else { continue };
        let expected: Vec<String> = expected.lines().map(|line| format!("{name}:{line}")).collect();
        assert_eq!(errors, expected, "{name}");
    }
}

#[test]
fn broken_lines_and_wrong_values_are_told_together() {
    let path = folder("bad").join("syntax.toml");
    let errors = load_file(&path).unwrap_err();
    for line in [":2: ", ":5: Otlp.Interval: ", ":7: "] {
        let wanted = format!("syntax.toml{line}");
        assert!(errors.iter().any(|error| error.contains(&wanted)), "{wanted} in {errors:#?}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let errors = load_file(Path::new("/nowhere/x.toml")).unwrap_err();
    assert!(errors[0].starts_with("/nowhere/x.toml: "), "{errors:?}");
    let folder = Source::Folder(PathBuf::from("/nowhere"));
    let errors = load_with(folder, &[], Overrides::default()).unwrap_err();
    assert!(errors[0].contains("huatuo-otel.toml"), "{errors:?}");
}

#[test]
fn a_folder_may_hold_a_file_of_either_name() {
    let loaded = load_with(Source::Folder(folder("good")), &[], Overrides::default()).unwrap();
    assert_eq!(loaded.config.runtime_cgroup.limit_mem, 2048);
}

#[test]
fn without_a_file_the_defaults_hold() {
    let loaded = load_with(Source::BuiltIn, &[], Overrides::default()).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(loaded.notices.is_empty());
}

#[test]
fn the_environment_overrides_the_file_and_flags_override_both() {
    let file = Source::File(folder("good").join("otlp.toml"));
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://other:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "700"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "60000"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod,k=a%20b"),
        ("OTEL_SERVICE_NAME", "kernel"),
    ];
    let overrides = Overrides {
        region: Some("cn".to_owned()),
        disable_storage: true,
        disable_kubelet: true,
        disable_tracing: vec!["oom".to_owned()],
    };
    let loaded = load_with(file, &variables, overrides).unwrap();
    let (config, text) = (&loaded.config, loaded.render());
    assert_eq!(config.otlp.endpoint, "http://other:4318");
    assert_eq!(config.otlp.protocol, Protocol::HttpProtobuf);
    assert_eq!(config.otlp.timeout().as_millis(), 700);
    assert_eq!(config.otlp.interval().as_secs(), 60);
    assert_eq!(config.otlp.compression, Compression::Zstd);
    assert_eq!(config.otlp.resource_attributes["k"], "a b");
    assert_eq!(config.otlp.service_name, "kernel");
    assert_eq!(config.otlp.logs.endpoint.as_deref(), Some("http://logs:4318/ingest"));
    assert_eq!(config.region, "cn");
    assert_eq!(config.storage.local_file.path, PathBuf::new());
    assert_eq!(config.pod.kubelet_authorized_port, 0);
    assert_eq!(config.black_list, ["netdev_hw", "metax_gpu", "oom"]);
    for line in [
        "Endpoint = \"http://other:4318\" # OTEL_EXPORTER_OTLP_ENDPOINT",
        "Region = \"cn\" # --region",
        "BlackList = [\"netdev_hw\", \"metax_gpu\", \"oom\"] # --disable-tracing",
        "Headers = { authorization = \"***\" } # ",
        "Token = \"***\" # ",
        "otlp.toml:7",
        "Interval = 60.0 # OTEL_METRIC_EXPORT_INTERVAL",
        "RotationSize = 100 # default",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("secret"));
}

#[test]
fn what_is_printed_can_be_loaded_again() {
    let loaded = load_with(Source::BuiltIn, &[], Overrides::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("printed.toml");
    fs::write(&path, loaded.render()).unwrap();
    assert_eq!(load_file(&path).unwrap().config, Config::default());
}

#[test]
fn what_is_wrong_with_the_environment_or_the_flags_is_told_together() {
    let variables =
        [("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")];
    let overrides = Overrides { disable_tracing: vec!["oomm".to_owned()], ..Overrides::default() };
    let errors = load_with(Source::BuiltIn, &variables, overrides).unwrap_err();
    assert_eq!(
        errors,
        [
            "OTEL_EXPORTER_OTLP_TIMEOUT: `soon` is not a whole number of milliseconds",
            "OTEL_EXPORTER_OTLP_PROTOCOL: unknown word `http/json`; it must be one of grpc, \
             http/protobuf",
            "--disable-tracing: no probe is named `oomm`; did you mean oom?",
        ]
    );
}

#[test]
fn the_sdk_switch_turns_the_push_off() {
    let variables =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"), ("OTEL_SDK_DISABLED", "true")];
    let loaded = load_with(Source::BuiltIn, &variables, Overrides::default()).unwrap();
    assert_eq!(loaded.config.otlp.endpoint, "");
}

#[test]
fn no_text_makes_the_loader_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("random.toml");
    let seed = fs::read(self::folder("good").join("huatuo-bamai.conf")).unwrap();
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..300 {
        let mut bytes = seed.clone();
        for _ in 0..random.usize(1..20) {
            let at = random.usize(..bytes.len());
            match random.u8(..3) {
                0 => bytes[at] = random.u8(..),
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, b"[]\"=.{}\n\x00"[random.usize(..9)]),
            }
        }
        fs::write(&path, bytes).unwrap();
        let _ = load_file(&path);
    }
}
