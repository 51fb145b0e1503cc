// SPDX-License-Identifier: Apache-2.0
//! What the kubelet tells of the pods on this host.

use std::collections::HashMap;

/// One pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Its UID, as cgroup paths have it.
    pub uid: String,
    /// Its name.
    pub name: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// The node that it runs on.
    pub node: Option<String>,
    /// The host name that it asks for; else it sees its name, or the host's.
    pub hostname: Option<String>,
    /// Its QoS class, in Kubernetes' spelling.
    pub qos: Option<String>,
    /// It uses the host's network namespace.
    pub host_network: bool,
    /// A DaemonSet made it.
    pub is_of_daemon_set: bool,
    /// Its containers of all kinds by their id, running or not.
    pub containers: HashMap<String, PodContainer>,
    /// Names of containers that stand beside the pod's own.
    pub sidecars: Vec<String>,
    /// Every container of the pod has an id by now.
    pub is_complete: bool,
}

/// One container of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodContainer {
    /// Its name in the pod.
    pub name: Option<String>,
    /// Its image.
    pub image: Option<String>,
    /// Its runtime, the scheme of its id.
    pub runtime: Option<String>,
    /// Times that it was started anew.
    pub restarts: Option<u64>,
}

/// The container that a service mesh adds.
const MESH_PROXY: &str = "istio-proxy";

impl PodFacts {
    /// HUATUO's class of the pod's container `name`.
    pub fn class_of(&self, name: Option<&str>) -> &'static str {
        let is_sidecar = |name: &str| self.sidecars.iter().any(|sidecar| sidecar == name);
        match name {
            Some(name) if name == MESH_PROXY || is_sidecar(name) => "sidecar",
            _ if self.is_of_daemon_set => "daemonset",
            _ => "normal",
        }
    }

    /// What the kernel gives as host name inside, which holds 63 bytes of it.
    pub fn host_name<'a>(&'a self, host: &'a str) -> Option<&'a str> {
        let name = match (self.host_network, &self.hostname) {
            (true, _) => Some(host),
            (false, Some(hostname)) => Some(hostname.as_str()),
            (false, None) => self.name.as_deref(),
        };
        let cut = |name: &'a str| name.get(..63).unwrap_or(name).trim_end_matches(['-', '.']);
        name.map(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_beside_the_pods_own_containers_is_a_sidecar_wherever_it_runs() {
        let pod = PodFacts { sidecars: vec!["log".to_owned()], ..PodFacts::default() };
        let daemon = PodFacts { is_of_daemon_set: true, ..pod.clone() };
        assert_eq!(pod.class_of(Some("app")), "normal");
        assert_eq!(pod.class_of(None), "normal");
        for pod in [&pod, &daemon] {
            assert_eq!(pod.class_of(Some("istio-proxy")), "sidecar");
            assert_eq!(pod.class_of(Some("log")), "sidecar");
        }
        assert_eq!(daemon.class_of(Some("app")), "daemonset");
        assert_eq!(daemon.class_of(None), "daemonset");
    }

    #[test]
    fn the_host_name_inside_is_the_pods_unless_it_shares_the_hosts_network() {
        let mut pod = PodFacts { name: Some("web-1".to_owned()), ..PodFacts::default() };
        assert_eq!(pod.host_name("node-1"), Some("web-1"));
        pod.hostname = Some("www".to_owned());
        assert_eq!(pod.host_name("node-1"), Some("www"));
        pod.host_network = true;
        assert_eq!(pod.host_name("node-1"), Some("node-1"));
        let long = format!("{}-{}", "a".repeat(62), "b".repeat(10));
        let pod = PodFacts { name: Some(long), ..PodFacts::default() };
        assert_eq!(pod.host_name("node-1").map(str::len), Some(62));
    }
}
