// SPDX-License-Identifier: Apache-2.0
//! The kubelet's answer to `GET /pods`: a `PodList` of Kubernetes' core/v1 API. Only what names a
//! container is read; a pod that is not understood costs itself alone.

use std::fmt;
use std::io::Read;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::Value as Json;

use crate::entity::{PodContainer, PodFacts};

/// Pods that are kept; a node has some hundred.
const MAX_PODS: usize = 4096;
/// Bytes of a name; Kubernetes' own limit is 253.
const MAX_TEXT: usize = 512;

/// All pods of the answer.
#[derive(Debug, Default)]
pub struct Pods {
    /// Those that were understood.
    pub pods: Vec<PodFacts>,
    /// Those without a UID, and those over the bound.
    pub left_out: usize,
}

/// Reads the document as it comes; it is never in memory as a whole.
pub fn read(document: impl Read) -> Result<Pods, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct PodList {
        items: Pods,
    }
    let mut reader = serde_json::Deserializer::from_reader(document);
    let PodList { items } = PodList::deserialize(&mut reader)?;
    reader.end()?;
    Ok(items)
}

impl<'de> Deserialize<'de> for Pods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EachPod)
    }
}

struct EachPod;

impl<'de> Visitor<'de> for EachPod {
    type Value = Pods;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of pods")
    }

    /// No pods at all.
    fn visit_unit<E>(self) -> Result<Pods, E> {
        Ok(Pods::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Pods, A::Error> {
        let mut all = Pods::default();
        while let Some(item) = items.next_element::<Json>()? {
            match pod(&item) {
                Some(pod) if all.pods.len() < MAX_PODS => all.pods.push(pod),
                _ => all.left_out += 1,
            }
        }
        Ok(all)
    }
}

fn pod(item: &Json) -> Option<PodFacts> {
    let (metadata, spec, status) = (&item["metadata"], &item["spec"], &item["status"]);
    let mut pod = PodFacts {
        uid: text(&metadata["uid"])?,
        name: text(&metadata["name"]),
        namespace: text(&metadata["namespace"]),
        node: text(&spec["nodeName"]),
        hostname: text(&spec["hostname"]),
        qos: text(&status["qosClass"]),
        host_network: spec["hostNetwork"] == true,
        is_of_daemon_set: each(&metadata["ownerReferences"])
            .any(|owner| owner["kind"] == "DaemonSet"),
        sidecars: each(&spec["initContainers"])
            .filter(|container| container["restartPolicy"] == "Always")
            .filter_map(|container| text(&container["name"]))
            .collect(),
        ..PodFacts::default()
    };
    let kinds = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
    let mut started = 0;
    for status in kinds.iter().flat_map(|kind| each(&status[*kind])) {
        let container = PodContainer {
            name: text(&status["name"]),
            image: text(&status["image"]),
            runtime: None,
            restarts: status["restartCount"].as_u64(),
        };
        // The one before is still there while the next one starts.
        let earlier = &status["lastState"]["terminated"]["containerID"];
        add(&mut pod, earlier, container.clone());
        started += usize::from(add(&mut pod, &status["containerID"], container));
    }
    let declared = ["containers", "initContainers", "ephemeralContainers"];
    let declared = declared.iter().map(|kind| each(&spec[*kind]).count()).sum::<usize>();
    pod.is_complete = declared > 0 && started >= declared;
    Some(pod)
}

/// Adds the container of `id`, e.g. `containerd://4f1c…`; false where it has none yet.
fn add(pod: &mut PodFacts, id: &Json, container: PodContainer) -> bool {
    let Some((runtime, id)) = id.as_str().and_then(|id| id.split_once("://")) else { return false };
    if id.is_empty() || id.len() > MAX_TEXT {
        return false;
    }
    let container = PodContainer { runtime: Some(runtime.to_owned()), ..container };
    pod.containers.insert(id.to_owned(), container);
    true
}

fn each(list: &Json) -> impl Iterator<Item = &Json> {
    list.as_array().into_iter().flatten()
}

/// Text that is not empty, and not so long that it cannot be a name.
fn text(json: &Json) -> Option<String> {
    let text = json.as_str().filter(|text| !text.is_empty() && text.len() <= MAX_TEXT)?;
    Some(text.to_owned())
}
