// SPDX-License-Identifier: Apache-2.0
//! Tests of this crate as programs, and what became of them.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use integration::root;
use serde_json::Value as Json;

use super::kernel::run;

/// Builds tests of these names; their programs.
pub fn built(names: &[String]) -> Result<Vec<String>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--locked", "--no-run", "--message-format=json", "-p", "integration"]);
    for name in names {
        cargo.args(["--test", name]);
    }
    let messages = run(cargo.current_dir(root()))?;
    let programs = messages.lines().filter_map(|line| {
        let message: Json = serde_json::from_str(line).ok()?;
        let is_test = message["target"]["kind"][0] == "test";
        Some(message["executable"].as_str().filter(|_| is_test)?.to_owned())
    });
    let programs: Vec<String> = programs.collect();
    ensure!(programs.len() == names.len(), "cargo built {programs:?} for {names:?}");
    Ok(programs)
}

/// Runs all of them in the guest, one after the other.
pub fn script(programs: &[String]) -> String {
    let variables = ["HOME", "XDG_CACHE_HOME", "HUATUO_OTEL_BIN"];
    let set = variables.iter().filter_map(|name| Some((name, std::env::var(name).ok()?)));
    let mut script: String =
        set.map(|(name, value)| format!("export {name}='{value}'\n")).collect();
    script.push_str(
        "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
         export HUATUO_TEST_SLOWNESS=10 HUATUO_LAB=1 RUST_BACKTRACE=0\n\
         modprobe --all veth overlay tcp_diag\n\
         echo \"guest: $(uname -r), cgroup: $(stat -f -c %T /sys/fs/cgroup)\"\n",
    );
    for program in programs {
        script.push_str(&format!(
            "{program} --test-threads=1 --color=never\necho \"guest: rc $?\"\n"
        ));
    }
    script
}

/// An error unless all of them passed.
pub fn judge(output: &str, expected: usize) -> Result<()> {
    let codes: Vec<&str> =
        output.lines().filter_map(|line| line.strip_prefix("guest: rc ")).collect();
    ensure!(codes.len() == expected, "{} of {expected} programs ended", codes.len());
    let failed = codes.iter().filter(|code| **code != "0").count();
    let summaries = output.lines().filter(|line| line.starts_with("test result:")).count();
    ensure!(failed == 0, "{failed} of {expected} programs failed");
    ensure!(summaries == expected, "a program ran no test");
    output.lines().next().context("the guest said nothing").map(drop)
}
