// SPDX-License-Identifier: Apache-2.0
//! The host's Resource.

use std::path::Path;

use semconv::{AttributeDef, AttributeType, attribute};
use sysinfo::System;

use crate::config::Config;
use crate::hostfs::HostFs;
use crate::signal::{Attribute, EntityKind, Resource, Value};

/// The host's Resource, and the part of it that every other Resource repeats.
pub(super) fn describe(config: &Config, fs: &HostFs) -> (Resource, Vec<Attribute>) {
    let name = System::host_name().unwrap_or_else(|_| "localhost".to_owned());
    let id = machine_id(fs).unwrap_or_else(|| name.clone());
    let mut shared: Vec<Attribute> =
        vec![(&attribute::HOST_ID, id.into()), (&attribute::HOST_NAME, name.into())];
    if !config.region.is_empty() {
        shared.push((&attribute::CLOUD_REGION, config.region.as_str().into()));
    }
    shared.push((&attribute::TELEMETRY_DISTRO_NAME, Value::Static("huatuo-otel")));
    shared.push((&attribute::TELEMETRY_DISTRO_VERSION, Value::Static(env!("CARGO_PKG_VERSION"))));
    for (key, value) in &config.otlp.resource_attributes {
        set(&mut shared, key, value);
    }
    let mut attributes = shared.clone();
    let machine = [
        (&attribute::HOST_ARCH, Some(arch(&System::cpu_arch()).to_owned())),
        (&attribute::OS_TYPE, Some("linux".to_owned())),
        (&attribute::OS_NAME, System::name().ok()),
        (&attribute::OS_VERSION, System::os_version().ok()),
        (&attribute::LINUX_KERNEL_RELEASE, System::kernel_version().ok()),
    ];
    for (key, value) in machine {
        if let Some(value) = value.filter(|_| !attributes.iter().any(|(def, _)| def.key == key.key))
        {
            attributes.push((key, value.into()));
        }
    }
    (Resource::new(EntityKind::Host, attributes), shared)
}

/// The user's attribute; it wins over ours of the same key.
fn set(attributes: &mut Vec<Attribute>, key: &str, value: &str) {
    if let Some((_, known)) = attributes.iter_mut().find(|(def, _)| def.key == key) {
        *known = value.into();
        return;
    }
    let known = attribute::ALL.iter().copied().find(|def| def.key == key);
    attributes.push((known.unwrap_or_else(|| foreign(key)), value.into()));
}

/// A key that is not in the registry. Kept for the life of the process, as the registry's are;
/// there are as many as the configuration names.
fn foreign(key: &str) -> &'static AttributeDef {
    Box::leak(Box::new(AttributeDef {
        key: Box::leak(key.to_owned().into_boxed_str()),
        kind: AttributeType::String,
        brief: "Set by the configuration.",
        members: &[],
    }))
}

fn machine_id(fs: &HostFs) -> Option<String> {
    ["/etc/machine-id", "/var/lib/dbus/machine-id", "/sys/class/dmi/id/product_uuid"]
        .iter()
        .filter_map(|path| fs.read_rooted(Path::new(path)).ok())
        .map(|text| text.trim().to_owned())
        .find(|id| !id.is_empty() && id.len() <= 64)
}

/// The word of the semantic conventions for `uname -m`.
fn arch(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_the_user_win_and_reach_every_resource() {
        let mut config = Config { region: "cn-beijing".to_owned(), ..Config::default() };
        config.otlp.resource_attributes =
            [("host.name", "node-1"), ("deployment.environment.name", "prod")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
        let (host, shared) = describe(&config, &HostFs::new("/"));
        assert_eq!(host.text(&attribute::HOST_NAME), "node-1");
        assert_eq!(host.text(&attribute::CLOUD_REGION), "cn-beijing");
        assert_eq!(host.text(&attribute::OS_TYPE), "linux");
        assert!(shared.iter().any(|(def, _)| def.key == "deployment.environment.name"));
    }

    #[test]
    fn the_host_is_identified_by_its_machine_id() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/machine-id"), "0123abcd\n").unwrap();
        let (host, _) = describe(&Config::default(), &HostFs::new(root.path()));
        assert_eq!(host.text(&attribute::HOST_ID), "0123abcd");
    }
}
