// SPDX-License-Identifier: Apache-2.0
//! What a cgroup path tells: which container, of which runtime, of which pod.

use std::path::Path;

/// What a cgroup path tells of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerName<'a> {
    /// 64 lower-case hex digits, or the name of a machine of systemd-nspawn.
    pub id: &'a str,
    /// The runtime, where the path tells it.
    pub runtime: Option<&'static str>,
    /// The pod, where it is one of Kubernetes.
    pub pod: Option<PodName>,
}

/// What a cgroup path tells of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodName {
    /// Its UID; for pods from a file the kubelet's hash of it.
    pub uid: String,
    /// Its QoS class, in Kubernetes' spelling.
    pub qos: &'static str,
}

/// What runtimes put before the id, with the runtime's name. `libpod-conmon-…` and the like are
/// the monitors beside a container, not containers.
const PREFIXES: [(&str, &str); 4] = [
    ("docker-", "docker"),
    ("cri-containerd-", "containerd"),
    ("crio-", "cri-o"),
    ("libpod-", "podman"),
];

/// The container whose cgroup `path` is. Cgroups below it are its own affair.
pub fn container_at(path: &Path) -> Option<ContainerName<'_>> {
    let name = path.file_name()?.to_str()?;
    let parent = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let (id, runtime) = scoped(name).or_else(|| bare(name, parent)).or_else(|| machine(name))?;
    Some(ContainerName { id, runtime, pod: path.parent().and_then(pod_at) })
}

/// `cri-containerd-<id>.scope`, and what is left of it where runtime and kubelet disagree about
/// the cgroup driver: `kubepods.slice:cri-containerd:<id>`.
fn scoped(name: &str) -> Option<(&str, Option<&'static str>)> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    if let Some((before, id)) = name.rsplit_once(':') {
        let word = before.rsplit(':').next()?;
        let known = PREFIXES.iter().find(|(prefix, _)| prefix.trim_end_matches('-') == word)?;
        return is_id(id).then_some((id, Some(known.1)));
    }
    PREFIXES.iter().find_map(|(prefix, runtime)| {
        let id = name.strip_prefix(prefix).filter(|id| is_id(id))?;
        Some((id, Some(*runtime)))
    })
}

/// `<id>` alone, as with the cgroupfs driver.
fn bare<'a>(name: &'a str, parent: Option<&str>) -> Option<(&'a str, Option<&'static str>)> {
    let runtime = (parent == Some("docker")).then_some("docker");
    is_id(name).then_some((name, runtime))
}

/// `systemd-nspawn@<machine>.service`
fn machine(name: &str) -> Option<(&str, Option<&'static str>)> {
    let machine = name.strip_prefix("systemd-nspawn@")?.strip_suffix(".service")?;
    (!machine.is_empty()).then_some((machine, Some("systemd-nspawn")))
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(is_lower_hex)
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// The pod whose cgroup `path` is: `…/kubepods/burstable/pod<uid>` of the cgroupfs driver,
/// `…/kubepods-burstable-pod<uid>.slice` of the systemd driver, which has `_` for `-`.
fn pod_at(path: &Path) -> Option<PodName> {
    let name = path.file_name()?.to_str()?;
    let (before, uid) = match name.strip_suffix(".slice") {
        Some(slice) => {
            slice.rsplit_once("-pod").map(|(before, uid)| (before, uid.replace('_', "-")))?
        }
        None => (path.parent()?.to_str()?, name.strip_prefix("pod")?.to_owned()),
    };
    let is_uid =
        (32..=36).contains(&uid.len()) && uid.bytes().all(|b| is_lower_hex(b) || b == b'-');
    if !is_uid || !before.contains("kubepods") {
        return None;
    }
    let qos = match before {
        _ if before.ends_with("burstable") => "Burstable",
        _ if before.ends_with("besteffort") => "BestEffort",
        _ => "Guaranteed",
    };
    Some(PodName { uid, qos })
}

/// The path of a process's cgroup in the hierarchy that processes are attributed by: of the memory
/// controller on v1, else of v2 (`/proc/<pid>/cgroup`, man cgroups(7)).
pub(super) fn cgroup_of_process(text: &str) -> Option<&str> {
    let find = |wanted: fn(&str) -> bool| {
        text.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            wanted(controllers).then_some(path)
        })
    };
    let is_memory = |controllers: &str| controllers.split(',').any(|word| word == "memory");
    find(is_memory).or_else(|| find(str::is_empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4f1c6f0f6a3d0e5a4f1c6f0f6a3d0e5a4f1c6f0f6a3d0e5a4f1c6f0f6a3d0e5a";
    const UID: &str = "275ecb36-5aa8-4c2a-9c47-d8bb681b9aff";

    fn runtime_of(path: &str) -> Option<Option<&'static str>> {
        let path = path.replace("ID", ID);
        let name = container_at(Path::new(&path))?;
        assert_eq!(name.id, ID);
        Some(name.runtime)
    }

    fn pod_of(path: &str) -> Option<(String, &'static str)> {
        let slices = UID.replace('-', "_");
        let path = path.replace("ID", ID).replace("SLICED", &slices).replace("PLAIN", UID);
        let pod = container_at(Path::new(&path))?.pod?;
        Some((pod.uid, pod.qos))
    }

    #[test]
    fn runtimes_are_known_by_their_paths() {
        assert_eq!(runtime_of("/docker/ID"), Some(Some("docker")));
        assert_eq!(runtime_of("/system.slice/docker-ID.scope"), Some(Some("docker")));
        assert_eq!(
            runtime_of("/kubepods.slice/kubepods-podx.slice/cri-containerd-ID.scope"),
            Some(Some("containerd"))
        );
        assert_eq!(runtime_of("/kubepods/burstable/pod1-2/ID"), Some(None));
        assert_eq!(runtime_of("/kubepods.slice/crio-ID.scope"), Some(Some("cri-o")));
        assert_eq!(runtime_of("/machine.slice/libpod-ID.scope"), Some(Some("podman")));
        assert_eq!(runtime_of("/libpod_parent/libpod-ID"), Some(Some("podman")));
        assert_eq!(runtime_of("/system.slice/x.slice:cri-containerd:ID"), Some(Some("containerd")));
    }

    #[test]
    fn a_machine_of_systemd_is_known_by_its_name() {
        let path = "/machine.slice/systemd-nspawn@debian-12.service";
        let found = container_at(Path::new(path)).unwrap();
        assert_eq!((found.id, found.runtime), ("debian-12", Some("systemd-nspawn")));
    }

    #[test]
    fn pods_are_known_with_both_drivers_and_all_classes() {
        for (path, qos) in [
            ("/kubepods/burstable/podPLAIN/ID", "Burstable"),
            ("/kubepods/besteffort/podPLAIN/ID", "BestEffort"),
            ("/kubepods/podPLAIN/ID", "Guaranteed"),
            ("/kubelet/kubepods/podPLAIN/ID", "Guaranteed"),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podSLICED.slice/\
                 cri-containerd-ID.scope",
                "Burstable",
            ),
            ("/kubepods.slice/kubepods-podSLICED.slice/crio-ID.scope", "Guaranteed"),
            (
                "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/\
                 kubelet-kubepods-besteffort-podSLICED.slice/cri-containerd-ID.scope",
                "BestEffort",
            ),
        ] {
            assert_eq!(pod_of(path), Some((UID.to_owned(), qos)), "{path}");
        }
        let hash = "/kubepods/burstable/pod0123456789abcdef0123456789abcdef/ID";
        assert_eq!(pod_of(hash).unwrap().0.len(), 32);
    }

    #[test]
    fn what_looks_like_a_pod_but_is_none_is_ignored() {
        assert_eq!(pod_of("/kubepods/burstable/podPLAIN9/ID"), None);
        assert_eq!(pod_of("/kubepods/burstable/podZ/ID"), None);
        assert_eq!(pod_of("/other/podPLAIN/ID"), None);
        assert_eq!(pod_of("/docker/ID"), None);
    }

    #[test]
    fn what_looks_like_a_container_but_is_none_is_ignored() {
        assert_eq!(runtime_of("/system.slice/ssh.service"), None);
        assert_eq!(runtime_of("/machine.slice/libpod-conmon-ID.scope"), None);
        assert_eq!(runtime_of("/kubepods.slice/crio-conmon-ID.scope"), None);
        assert_eq!(runtime_of("/machine.slice/machine-qemu.scope"), None);
        assert_eq!(runtime_of("/docker/IDIDID"), None);
        assert_eq!(runtime_of(&format!("/docker/{}", ID.to_uppercase())), None);
        assert_eq!(runtime_of("/x:y:ID"), None);
        assert_eq!(runtime_of("/"), None);
        assert_eq!(runtime_of(""), None);
    }

    #[test]
    fn a_process_is_attributed_by_the_hierarchy_of_memory_or_by_v2() {
        let hybrid = "9:cpu,cpuacct:/a\n4:memory:/docker/x:y\n0::/b\n";
        assert_eq!(cgroup_of_process(hybrid), Some("/docker/x:y"));
        assert_eq!(cgroup_of_process("0::/system.slice\n"), Some("/system.slice"));
        assert_eq!(cgroup_of_process("9:cpu:/a\n"), None);
        assert_eq!(cgroup_of_process("junk"), None);
    }

    #[test]
    fn no_path_makes_the_parser_panic() {
        let mut random = fastrand::Rng::with_seed(5);
        let words =
            ["/", "docker-", "pod", "kubepods", ".slice", ".scope", ":", ID, UID, "-", "é", "_"];
        for _ in 0..20_000 {
            let path: String =
                (0..random.usize(..12)).map(|_| words[random.usize(..words.len())]).collect();
            let _ = container_at(Path::new(&path));
        }
    }
}
