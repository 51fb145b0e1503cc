// SPDX-License-Identifier: Apache-2.0
//! What a container's runtime wrote down of it: names, image, pod. Read from the runtimes' own
//! files, so that no socket has to answer. Everything is optional; a container is known without.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::hostfs::HostFs;

/// Where containerd keeps the bundle of a running container, by its namespaces.
const CONTAINERD: &str = "/run/containerd/io.containerd.runtime.v2.task";
const NAMESPACES: [&str; 3] = ["k8s.io", "default", "moby"];
/// Where CRI-O and Podman keep theirs.
const STORAGES: [&str; 2] = ["/var/lib/containers/storage", "/run/containers/storage"];
const DOCKER: &str = "/var/lib/docker/containers";

/// What a runtime tells of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeFacts {
    /// The runtime.
    pub runtime: Option<&'static str>,
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

impl RuntimeFacts {
    /// No runtime knows the container.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// Looks where the known runtimes keep their files.
pub fn look_up(fs: &HostFs, id: &str) -> RuntimeFacts {
    let found = of_docker(fs, id).or_else(|| of_containerd(fs, id)).or_else(|| of_storage(fs, id));
    found.unwrap_or_default()
}

fn of_docker(fs: &HostFs, id: &str) -> Option<RuntimeFacts> {
    let doc = read(fs, &format!("{DOCKER}/{id}/config.v2.json"))?;
    Some(RuntimeFacts { runtime: Some("docker"), ..docker(&doc) })
}

fn of_containerd(fs: &HostFs, id: &str) -> Option<RuntimeFacts> {
    let bundle_of = |space| read(fs, &format!("{CONTAINERD}/{space}/{id}/config.json"));
    let doc = NAMESPACES.into_iter().find_map(bundle_of)?;
    Some(RuntimeFacts { runtime: Some("containerd"), ..bundle(&doc) })
}

fn of_storage(fs: &HostFs, id: &str) -> Option<RuntimeFacts> {
    let bundle_of =
        |storage| read(fs, &format!("{storage}/overlay-containers/{id}/userdata/config.json"));
    let facts = bundle(&STORAGES.into_iter().find_map(bundle_of)?);
    if facts.name.is_some() {
        return Some(RuntimeFacts { runtime: Some("cri-o"), ..facts });
    }
    let list = read(fs, &format!("{}/overlay-containers/containers.json", STORAGES[0]));
    let (name, image) = list.and_then(|doc| stored(doc, id)).unwrap_or_default();
    Some(RuntimeFacts { runtime: Some("podman"), name, image, ..facts })
}

fn read(fs: &HostFs, path: &str) -> Option<Json> {
    serde_json::from_str(&fs.read_rooted(Path::new(path)).ok()?).ok()
}

/// Docker's own document.
pub fn docker(doc: &Json) -> RuntimeFacts {
    let labels = &doc["Config"]["Labels"];
    RuntimeFacts {
        runtime: None,
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
pub fn bundle(doc: &Json) -> RuntimeFacts {
    let notes = &doc["annotations"];
    let first = |keys: &[&str]| keys.iter().find_map(|key| text(&notes[*key]));
    let kind = first(&["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"]);
    RuntimeFacts {
        runtime: None,
        name: first(&["io.kubernetes.cri-o.Name", "nerdctl/name"]),
        image: first(&["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]),
        container: first(&["io.kubernetes.cri.container-name", "io.kubernetes.container.name"]),
        pod: first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
        namespace: first(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
        is_sandbox: kind.as_deref() == Some("sandbox"),
    }
}

/// Name and image from the list of containers of containers/storage (Podman).
pub fn stored(doc: Json, id: &str) -> Option<(Option<String>, Option<String>)> {
    #[derive(Deserialize)]
    struct Stored {
        id: String,
        #[serde(default)]
        names: Vec<String>,
        /// A document in a string.
        #[serde(default)]
        metadata: String,
    }
    let all: Vec<Stored> = serde_json::from_value(doc).ok()?;
    let stored = all.into_iter().find(|stored| stored.id == id)?;
    let metadata: Json = serde_json::from_str(&stored.metadata).unwrap_or_default();
    Some((stored.names.into_iter().next(), text(&metadata["image-name"])))
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

    fn with(path: &str, document: &str) -> RuntimeFacts {
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
        assert_eq!((facts.name, facts.image), (some("web"), some("nginx:1")));
        assert_eq!(facts.runtime, Some("docker"));
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
        assert_eq!((containerd.container, containerd.pod), (some("coredns"), some("coredns-1")));
        assert_eq!((containerd.namespace, containerd.image), (some("kube-system"), some("dns:1")));
        let crio = with(
            "/run/containers/storage/overlay-containers/c0ffee/userdata/config.json",
            r#"{"annotations":{"io.kubernetes.cri-o.ContainerType":"sandbox",
               "io.kubernetes.cri-o.Name":"k8s_POD","io.kubernetes.pod.name":"coredns-1"}}"#,
        );
        assert_eq!((crio.pod, crio.is_sandbox), (some("coredns-1"), true));
        assert_eq!((containerd.runtime, crio.runtime), (Some("containerd"), Some("cri-o")));
    }

    #[test]
    fn podmans_list_tells_name_and_image() {
        let doc = serde_json::json!([
            {"id": "other"},
            {"id": "c0ffee", "names": ["web"], "metadata": r#"{"image-name":"nginx:1"}"#},
        ]);
        assert_eq!(stored(doc.clone(), "c0ffee"), Some((some("web"), some("nginx:1"))));
        assert_eq!(stored(doc.clone(), "other"), Some((None, None)));
        assert_eq!(stored(doc, "else"), None);
    }

    #[test]
    fn what_is_broken_or_not_there_tells_nothing() {
        let docker = "/var/lib/docker/containers/c0ffee/config.v2.json";
        assert!(with("/elsewhere", "{}").is_unknown());
        for broken in ["", "{", "<html>", "\u{0}"] {
            assert!(with(docker, broken).is_unknown(), "{broken}");
        }
        let odd = format!(r#"{{"Name":7,"Config":{{"Image":"{}"}}}}"#, "x".repeat(1000));
        let facts = with(docker, &odd);
        assert_eq!((facts.runtime, facts.name, facts.image), (Some("docker"), None, None));
    }
}
