// SPDX-License-Identifier: Apache-2.0
//! Which container a cgroup path names.

use std::path::Path;

/// What a cgroup path tells of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerName<'a> {
    /// 64 lower-case hex digits.
    pub id: &'a str,
    /// The runtime, where the path tells it.
    pub runtime: Option<&'static str>,
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
    component(name, parent)
}

fn component<'a>(name: &'a str, parent: Option<&str>) -> Option<ContainerName<'a>> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = name.strip_prefix(prefix).filter(|id| is_id(id)) {
            return Some(ContainerName { id, runtime: Some(runtime) });
        }
    }
    let runtime = (parent == Some("docker")).then_some("docker");
    is_id(name).then_some(ContainerName { id: name, runtime })
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4f1c6f0f6a3d0e5a4f1c6f0f6a3d0e5a4f1c6f0f6a3d0e5a4f1c6f0f6a3d0e5a";

    fn found(path: &str) -> Option<Option<&'static str>> {
        let path = path.replace("ID", ID);
        let name = container_at(Path::new(&path))?;
        assert_eq!(name.id, ID);
        Some(name.runtime)
    }

    #[test]
    fn runtimes_are_known_by_their_paths() {
        assert_eq!(found("/docker/ID"), Some(Some("docker")));
        assert_eq!(found("/system.slice/docker-ID.scope"), Some(Some("docker")));
        assert_eq!(
            found("/kubepods.slice/kubepods-podx.slice/cri-containerd-ID.scope"),
            Some(Some("containerd"))
        );
        assert_eq!(found("/kubepods/burstable/pod1-2/ID"), Some(None));
        assert_eq!(found("/kubepods.slice/crio-ID.scope"), Some(Some("cri-o")));
        assert_eq!(found("/machine.slice/libpod-ID.scope"), Some(Some("podman")));
    }

    #[test]
    fn what_looks_like_a_container_but_is_none_is_ignored() {
        assert_eq!(found("/system.slice/ssh.service"), None);
        assert_eq!(found("/machine.slice/libpod-conmon-ID.scope"), None);
        assert_eq!(found("/docker/IDIDID"), None);
        assert_eq!(found(&format!("/docker/{}", ID.to_uppercase())), None);
        assert_eq!(found("/"), None);
        assert_eq!(found(""), None);
    }
}
