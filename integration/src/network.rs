// SPDX-License-Identifier: Apache-2.0
//! Networks of tests: what happens in one leaves the machine's alone.

use std::fs::File;
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::installed;

/// A network namespace; removed when dropped, with its devices.
pub struct Network(String);

impl Network {
    /// A new one, with a loopback device that is up.
    pub fn new(name: &str) -> Result<Self> {
        let name = format!("{name}-{}", std::process::id());
        ip(&["netns", "add", &name])?;
        let network = Self(name);
        ip(&["-n", &network.0, "link", "set", "lo", "up"])?;
        Ok(network)
    }

    /// Its name, for `ip -n`.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Runs `test` in a thread of its own inside: what it starts and what it asks for is there.
    pub fn run<T: Send>(&self, test: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.0);
        within(&path, test).unwrap_or_else(|error| panic!("enter {path}: {error}"))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = ip(&["netns", "del", &self.0]);
    }
}

/// Runs `work` in a thread of its own in the network namespace of this file.
pub(crate) fn within<T: Send>(path: &str, work: impl FnOnce() -> T + Send) -> Result<T> {
    let file = File::open(path)?;
    let ended = thread::scope(|scope| {
        let inside = scope.spawn(move || -> Result<T> {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        });
        inside.join()
    });
    ended.unwrap_or_else(|panicked| resume_unwind(panicked))
}

/// Runs `ip`.
pub fn ip(args: &[&str]) -> Result<()> {
    succeed(Command::new(installed("ip")?).args(args))
}

/// Runs a command; its complaint where it fails.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
