// SPDX-License-Identifier: Apache-2.0
//! From what path, runtime and kubelet tell of a container to its Resource.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use semconv::{AttributeDef, attribute};

use super::container::Container;
use super::filter::ContainerFilter;
use super::path::{ContainerName, container_at};
use super::pod::{PodContainer, PodFacts};
use super::runtime::RuntimeFacts;
use crate::signal::{Attribute, EntityKind, Resource, UnixNanos, Value};
use crate::sync::lock;

/// Knows all that Resources of containers are made of.
pub struct Namer {
    /// What every Resource carries: host identity, region, the user's attributes, the distro.
    shared: Vec<Attribute>,
    host_name: String,
    filter: ContainerFilter,
    /// The kubelet's pods, by their UID.
    pods: Mutex<HashMap<String, Arc<PodFacts>>>,
}

impl Namer {
    /// Knows no pods yet.
    pub fn new(shared: Vec<Attribute>, filter: ContainerFilter) -> Self {
        let is_name = |(def, _): &&Attribute| def.key == attribute::HOST_NAME.key;
        let host_name = shared.iter().find(is_name).and_then(|(_, value)| value.as_str());
        let host_name = host_name.unwrap_or_default().to_owned();
        Self { shared, host_name, filter, pods: Mutex::default() }
    }

    /// What every Resource carries.
    pub fn shared(&self) -> &[Attribute] {
        &self.shared
    }

    /// Replaces what is known of pods.
    pub fn set_pods(&self, pods: Vec<PodFacts>) {
        let by_uid = pods.into_iter().map(|pod| (pod.uid.clone(), Arc::new(pod)));
        *self.pods() = by_uid.collect();
    }

    /// The kubelet has not told, or not enough, of the pod that `container` belongs to.
    pub fn lacks_pod(&self, container: &Container) -> bool {
        let Some(uid) = container.resource.get(&attribute::K8S_POD_UID).and_then(Value::as_str)
        else {
            return false;
        };
        let pods = self.pods();
        let is_named = !container.resource.text(&attribute::K8S_CONTAINER_NAME).is_empty();
        pods.get(uid).is_none_or(|pod| {
            !is_named && !container.is_sandbox && !pod.containers.contains_key(&*container.id)
        })
    }

    /// The container whose cgroup is at `path`; `None` where it is none.
    pub fn container(
        &self,
        path: &Arc<str>,
        started: UnixNanos,
        facts: Option<&RuntimeFacts>,
    ) -> Option<Container> {
        let name = container_at(Path::new(&**path))?;
        let unknown = RuntimeFacts::default();
        let facts = facts.unwrap_or(&unknown);
        let pod = name.pod.as_ref().and_then(|pod| self.pods().get(&pod.uid).cloned());
        let resource = self.resource(&name, facts, pod.as_deref());
        Some(Container {
            id: name.id.into(),
            is_selected: self.filter.passes(&resource),
            is_sandbox: facts.is_sandbox || is_unlisted(&name, facts, pod.as_deref()),
            resource: Arc::new(resource),
            path: Arc::clone(path),
            started,
        })
    }

    /// The kubelet's word goes before the runtime's, and this before the path's.
    fn resource(
        &self,
        name: &ContainerName<'_>,
        facts: &RuntimeFacts,
        pod: Option<&PodFacts>,
    ) -> Resource {
        let facts = facts.clone();
        let listed = pod.and_then(|pod| pod.containers.get(name.id)).cloned().unwrap_or_default();
        let PodContainer { name: listed_name, image, runtime, restarts } = listed;
        let runtime = name.runtime.or(facts.runtime).map(str::to_owned).or(runtime);
        let container = listed_name.or(facts.container);
        let class = pod.map_or_else(
            || PodFacts::default().class_of(container.as_deref()),
            |pod| pod.class_of(container.as_deref()),
        );
        let image = facts.image.or(image);
        let (image, tag) = image.as_deref().map(name_and_tag).unzip();
        let path = name.pod.as_ref();
        // Pods see their name as their host name, unless they ask for another.
        let hostname = pod.and_then(|pod| pod.host_name(&self.host_name)).map(str::to_owned);
        let hostname = hostname.or_else(|| facts.pod.clone());
        let told = |tell: fn(&PodFacts) -> &Option<String>| pod.and_then(|pod| tell(pod).clone());
        let texts: [(&'static AttributeDef, Option<String>); 12] = [
            (&attribute::CONTAINER_ID, Some(name.id.to_owned())),
            (&attribute::CONTAINER_NAME, facts.name),
            (&attribute::CONTAINER_IMAGE_NAME, image.map(str::to_owned)),
            (&attribute::CONTAINER_RUNTIME_NAME, runtime),
            (&attribute::K8S_CONTAINER_NAME, container),
            (&attribute::K8S_POD_NAME, told(|pod| &pod.name).or(facts.pod)),
            (&attribute::K8S_POD_UID, path.map(|pod| pod.uid.clone())),
            (&attribute::K8S_POD_HOSTNAME, hostname),
            (&attribute::K8S_NAMESPACE_NAME, told(|pod| &pod.namespace).or(facts.namespace)),
            (
                &attribute::K8S_POD_QOS_CLASS,
                told(|pod| &pod.qos).or_else(|| path.map(|pod| pod.qos.to_owned())),
            ),
            (&attribute::K8S_NODE_NAME, told(|pod| &pod.node)),
            (&attribute::HUATUO_CONTAINER_TYPE, Some(class.to_owned())),
        ];
        let known = texts.into_iter().filter_map(|(key, text)| Some((key, Value::from(text?))));
        let mut attributes: Vec<Attribute> = known.collect();
        attributes.extend(tag.flatten().map(|tag| {
            let tags = Value::Array([Value::from(tag)].into());
            (&attribute::CONTAINER_IMAGE_TAGS, tags)
        }));
        let restarts = restarts.and_then(|restarts| i64::try_from(restarts).ok());
        attributes.extend(restarts.map(|n| (&attribute::K8S_CONTAINER_RESTART_COUNT, n.into())));
        // The user's attributes may be those of the agent's own pod; a container has its own.
        let is_new = |(key, _): &&Attribute| !attributes.iter().any(|(own, _)| own.key == key.key);
        let shared: Vec<Attribute> = self.shared.iter().filter(is_new).cloned().collect();
        attributes.extend(shared);
        Resource::new(EntityKind::Container, attributes)
    }

    fn pods(&self) -> MutexGuard<'_, HashMap<String, Arc<PodFacts>>> {
        lock(&self.pods)
    }
}

/// A container of a pod that neither the runtime nor the kubelet knows, though the kubelet knows all
/// of the pod's: the one that holds the pod's namespaces, which it does not list.
fn is_unlisted(name: &ContainerName<'_>, facts: &RuntimeFacts, pod: Option<&PodFacts>) -> bool {
    facts.is_unknown()
        && pod.is_some_and(|pod| pod.is_complete && !pod.containers.contains_key(name.id))
}

/// `registry:5000/nginx:1.27@sha256:…` is `registry:5000/nginx` with the tag `1.27`.
fn name_and_tag(image: &str) -> (&str, Option<&str>) {
    let named = image.split_once('@').map_or(image, |(named, _)| named);
    match named.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') && !name.is_empty() && name != "sha256" => {
            (name, Some(tag))
        }
        _ => (named, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "275ecb36-5aa8-4c2a-9c47-d8bb681b9aff";

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn id() -> String {
        "ab".repeat(32)
    }

    fn pod() -> PodFacts {
        let container =
            PodContainer { name: some("nginx"), image: some("nginx:1"), ..PodContainer::default() };
        PodFacts {
            uid: UID.to_owned(),
            name: some("web-1"),
            namespace: some("prod"),
            qos: some("Guaranteed"),
            containers: [(id(), container)].into(),
            is_complete: true,
            ..PodFacts::default()
        }
    }

    fn namer() -> Namer {
        let shared = vec![(&attribute::HOST_NAME, Value::Static("node-1"))];
        Namer::new(shared, ContainerFilter::default())
    }

    fn container(namer: &Namer, id: &str, facts: Option<&RuntimeFacts>) -> Container {
        let path = format!("/kubepods/burstable/pod{UID}/{id}");
        namer.container(&path.into(), 7, facts).unwrap()
    }

    #[test]
    fn the_kubelet_adds_to_what_the_path_tells() {
        let namer = namer();
        let before = container(&namer, &id(), None);
        assert!(namer.lacks_pod(&before));
        assert_eq!(before.resource.text(&attribute::K8S_POD_QOS_CLASS), "Burstable");
        assert_eq!(before.resource.text(&attribute::K8S_POD_NAME), "");
        namer.set_pods(vec![pod()]);
        let after = container(&namer, &id(), None);
        assert!(!namer.lacks_pod(&after));
        for (key, text) in [
            (&attribute::K8S_POD_UID, UID),
            (&attribute::K8S_POD_NAME, "web-1"),
            (&attribute::K8S_POD_HOSTNAME, "web-1"),
            (&attribute::K8S_NAMESPACE_NAME, "prod"),
            (&attribute::K8S_POD_QOS_CLASS, "Guaranteed"),
            (&attribute::K8S_CONTAINER_NAME, "nginx"),
            (&attribute::CONTAINER_IMAGE_NAME, "nginx"),
            (&attribute::HOST_NAME, "node-1"),
        ] {
            assert_eq!(after.resource.text(key), text, "{}", key.key);
        }
        assert_eq!(&*after.resource.identity, id());
    }

    #[test]
    fn what_holds_the_namespaces_is_known_by_the_runtime_or_by_nobody() {
        let namer = namer();
        let pause = "cd".repeat(32);
        assert!(!container(&namer, &pause, None).is_sandbox);
        let sandbox = RuntimeFacts { is_sandbox: true, ..RuntimeFacts::default() };
        assert!(container(&namer, &pause, Some(&sandbox)).is_sandbox);
        namer.set_pods(vec![pod()]);
        assert!(container(&namer, &pause, None).is_sandbox);
        assert!(!container(&namer, &id(), None).is_sandbox);
        let known = RuntimeFacts { runtime: Some("docker"), ..RuntimeFacts::default() };
        assert!(!container(&namer, &pause, Some(&known)).is_sandbox, "a newer one");
        namer.set_pods(vec![PodFacts { is_complete: false, ..pod() }]);
        assert!(!container(&namer, &pause, None).is_sandbox);
    }

    #[test]
    fn an_image_is_a_name_and_a_tag() {
        for (image, expected) in [
            ("nginx", ("nginx", None)),
            ("nginx:1.27", ("nginx", Some("1.27"))),
            ("registry:5000/nginx", ("registry:5000/nginx", None)),
            ("registry:5000/nginx:1@sha256:ab", ("registry:5000/nginx", Some("1"))),
            ("nginx@sha256:ab", ("nginx", None)),
            ("sha256:ab", ("sha256:ab", None)),
            (":", (":", None)),
            ("", ("", None)),
        ] {
            assert_eq!(name_and_tag(image), expected, "{image}");
        }
    }

    #[test]
    fn a_container_of_no_pod_lacks_none() {
        let namer = namer();
        let path = format!("/docker/{}", id()).into();
        assert!(!namer.lacks_pod(&namer.container(&path, 7, None).unwrap()));
        assert!(namer.container(&"/docker".into(), 7, None).is_none());
    }
}
