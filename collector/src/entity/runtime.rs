// SPDX-License-Identifier: Apache-2.0
//! What a container's runtime wrote down of it: names, image, pod. Read from the runtimes' own
//! files, so that no socket has to answer. Everything is optional; a container is known without.

use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::hostfs::HostFs;

/// Bytes of a file that are read; these files have some tens of KiB.
const MAX_FILE: u64 = 4 << 20;

/// Where containerd keeps the bundle of a running container, by its namespaces.
const CONTAINERD: &str = "/run/containerd/io.containerd.runtime.v2.task";
const NAMESPACES: [&str; 3] = ["k8s.io", "default", "moby"];
/// Where CRI-O and Podman keep theirs.
const STORAGES: [&str; 2] = ["/var/lib/containers/storage", "/run/containers/storage"];
const DOCKER: &str = "/var/lib/docker/containers";

/// What a runtime tells of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeFacts {
    /// Name that the runtime knows it by.
    pub name: Option<String>,
    /// Image that it was made of.
    pub image: Option<String>,
    /// Name of the container in its pod.
    pub container: Option<String>,
    /// Name of its pod.
    pub pod: Option<String>,
    /// Namespace of its pod.
    pub namespace: Option<String>,
    /// It only holds the namespaces of a pod ("pause"), and is no container of the user.
    pub is_sandbox: bool,
}

/// Looks where the known runtimes keep their files.
pub fn look_up(fs: &HostFs, id: &str) -> Option<RuntimeFacts> {
    if let Some(facts) = read(fs, &format!("{DOCKER}/{id}/config.v2.json")).map(|doc| docker(&doc))
    {
        return Some(facts);
    }
    let bundles = NAMESPACES.map(|namespace| format!("{CONTAINERD}/{namespace}/{id}/config.json"));
    let stored =
        STORAGES.map(|storage| format!("{storage}/overlay-containers/{id}/userdata/config.json"));
    let mut bundles = bundles.iter().chain(&stored);
    let mut facts = bundles.find_map(|path| read(fs, path)).map(|doc| bundle(&doc))?;
    if facts.name.is_none() {
        let list = format!("{}/overlay-containers/containers.json", STORAGES[0]);
        facts.name = read(fs, &list).and_then(|doc| stored_name(doc, id));
    }
    Some(facts)
}

fn read(fs: &HostFs, path: &str) -> Option<Json> {
    let file = std::fs::File::open(fs.rooted(Path::new(path))).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Docker's own document.
fn docker(doc: &Json) -> RuntimeFacts {
    let labels = &doc["Config"]["Labels"];
    RuntimeFacts {
        name: text(&doc["Name"]).map(|name| name.trim_start_matches('/').to_owned()),
        image: text(&doc["Config"]["Image"]),
        container: text(&labels["io.kubernetes.container.name"]).filter(|name| name != "POD"),
        pod: text(&labels["io.kubernetes.pod.name"]),
        namespace: text(&labels["io.kubernetes.pod.namespace"]),
        is_sandbox: labels["io.kubernetes.docker.type"] == "podsandbox",
    }
}

/// The annotations of an OCI bundle (opencontainers/runtime-spec, config.md): containerd's CRI,
/// CRI-O.
fn bundle(doc: &Json) -> RuntimeFacts {
    let notes = &doc["annotations"];
    let first = |keys: &[&str]| keys.iter().find_map(|key| text(&notes[*key]));
    let kind = first(&["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"]);
    RuntimeFacts {
        name: first(&["io.kubernetes.cri-o.Name", "nerdctl/name"]),
        image: first(&["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]),
        container: first(&["io.kubernetes.cri.container-name", "io.kubernetes.container.name"]),
        pod: first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
        namespace: first(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
        is_sandbox: kind.as_deref() == Some("sandbox"),
    }
}

/// The list of containers of containers/storage (Podman).
fn stored_name(doc: Json, id: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Stored {
        id: String,
        #[serde(default)]
        names: Vec<String>,
    }
    let all: Vec<Stored> = serde_json::from_value(doc).ok()?;
    all.into_iter().find(|stored| stored.id == id)?.names.into_iter().next()
}

/// Text that is not empty, and not so long that it cannot be a name.
fn text(json: &Json) -> Option<String> {
    let text = json.as_str().filter(|text| !text.is_empty() && text.len() <= 512)?;
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn with(path: &str, document: &str) -> Option<RuntimeFacts> {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, document).unwrap();
        look_up(&HostFs::new(root.path()), "c0ffee")
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn docker_tells_name_and_image_and_what_the_kubelet_labelled() {
        let facts = with(
            "/var/lib/docker/containers/c0ffee/config.v2.json",
            r#"{"Name":"/web","Config":{"Image":"nginx:1","Labels":{
               "io.kubernetes.container.name":"nginx","io.kubernetes.pod.name":"web-1",
               "io.kubernetes.pod.namespace":"prod"}}}"#,
        );
        let facts = facts.unwrap();
        assert_eq!((facts.name, facts.image), (some("web"), some("nginx:1")));
        assert_eq!((facts.container, facts.pod), (some("nginx"), some("web-1")));
        assert_eq!((facts.namespace, facts.is_sandbox), (some("prod"), false));
    }

    #[test]
    fn bundles_of_containerd_and_cri_o_tell_the_pod() {
        let containerd = with(
            "/run/containerd/io.containerd.runtime.v2.task/k8s.io/c0ffee/config.json",
            r#"{"annotations":{"io.kubernetes.cri.container-type":"container",
               "io.kubernetes.cri.container-name":"coredns","io.kubernetes.cri.image-name":"dns:1",
               "io.kubernetes.cri.sandbox-name":"coredns-1",
               "io.kubernetes.cri.sandbox-namespace":"kube-system"}}"#,
        );
        let containerd = containerd.unwrap();
        assert_eq!((containerd.container, containerd.pod), (some("coredns"), some("coredns-1")));
        assert_eq!((containerd.namespace, containerd.image), (some("kube-system"), some("dns:1")));
        let crio = with(
            "/run/containers/storage/overlay-containers/c0ffee/userdata/config.json",
            r#"{"annotations":{"io.kubernetes.cri-o.ContainerType":"sandbox",
               "io.kubernetes.pod.name":"coredns-1"}}"#,
        );
        let crio = crio.unwrap();
        assert_eq!((crio.pod, crio.is_sandbox), (some("coredns-1"), true));
    }

    #[test]
    fn what_is_broken_or_not_there_tells_nothing() {
        let docker = "/var/lib/docker/containers/c0ffee/config.v2.json";
        assert_eq!(with("/elsewhere", "{}"), None);
        for broken in ["", "{", "[1,2]", "<html>", "\u{0}"] {
            let facts = with(docker, broken).unwrap_or_default();
            assert_eq!(facts, RuntimeFacts::default(), "{broken}");
        }
        let odd = format!(r#"{{"Name":7,"Config":{{"Image":"{}"}}}}"#, "x".repeat(1000));
        assert_eq!(with(docker, &odd), Some(RuntimeFacts::default()));
    }
}
