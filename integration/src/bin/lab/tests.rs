// SPDX-License-Identifier: Apache-2.0
//! Tests of this crate as programs, and what became of them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use integration::{binary, root};
use serde_json::Value as Json;

use super::kernel::run;

/// A test as a program.
pub struct Test {
    /// Its file's name.
    name: String,
    program: PathBuf,
    /// Runs only what has this in its name.
    filter: String,
}

/// Copies the agent to where the guest runs it: a build meanwhile does not disturb a run.
pub fn agent(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("huatuo-otel");
    fs::copy(binary()?, &path)?;
    Ok(path)
}

/// Builds tests of these names and copies their programs to `folder`; `kernel:freeze` is those of
/// `kernel` with this in their names.
pub fn built(names: &[String], folder: &Path) -> Result<Vec<Test>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--locked", "--no-run", "--message-format=json", "-p", "integration"]);
    let wanted: HashMap<&str, &str> =
        names.iter().map(|name| name.split_once(':').unwrap_or((name, ""))).collect();
    for name in wanted.keys() {
        cargo.args(["--test", name]);
    }
    let messages = run(cargo.current_dir(root()))?;
    let mut tests = Vec::new();
    for message in messages.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok()) {
        let name = message["target"]["name"].as_str().and_then(|name| wanted.get_key_value(name));
        if let (Some((name, filter)), Some(built)) = (name, message["executable"].as_str()) {
            let program = folder.join(name);
            fs::copy(built, &program)?;
            let (name, filter) = (name.to_string(), filter.to_string());
            tests.push(Test { name, program, filter });
        }
    }
    ensure!(tests.len() == names.len(), "cargo built {} tests for {names:?}", tests.len());
    Ok(tests)
}

/// Asks the agent what it finds, then runs all tests, one after the other.
pub fn script(agent: &Path, tests: &[Test]) -> String {
    let agent = agent.display();
    let variables = ["HOME", "XDG_CACHE_HOME"];
    let set = variables.iter().filter_map(|name| Some((name, std::env::var(name).ok()?)));
    let mut script: String =
        set.map(|(name, value)| format!("export {name}='{value}'\n")).collect();
    script.push_str(
        "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
         export HUATUO_TEST_SLOWNESS=10 HUATUO_LAB=1 RUST_BACKTRACE=0\n\
         modprobe --all veth overlay tcp_diag bonding bridge dummy sch_netem\n\
         echo \"guest: $(uname -r), cgroup: $(stat -f -c %T /sys/fs/cgroup)\"\n",
    );
    script.push_str(&format!(
        "export HUATUO_OTEL_BIN={agent}\n{agent} check --json > /out/check.json\n"
    ));
    for Test { program, filter, .. } in tests {
        let program = program.display();
        script.push_str(&format!(
            "begin=$(cut -d. -f1 /proc/uptime)\n{program} --test-threads=1 --color=never {filter}\n\
             echo \"guest: rc $? $(($(cut -d. -f1 /proc/uptime) - begin))\"\n"
        ));
    }
    script.push_str("echo \"guest: end\"\n");
    script
}

/// Return code and seconds of each that came to its end.
fn ends(output: &str) -> Vec<(&str, &str)> {
    let lines = output.lines();
    lines.filter_map(|line| line.strip_prefix("guest: rc ")?.split_once(' ')).collect()
}

/// Those that a guest that died had not ended yet.
pub fn left<'a>(output: &str, tests: &'a [Test]) -> &'a [Test] {
    tests.get(ends(output).len()..).unwrap_or_default()
}

/// An error unless all of them passed.
pub fn judge(output: &str, tests: &[Test]) -> Result<()> {
    let ends = ends(output);
    for (Test { name, .. }, (code, seconds)) in tests.iter().zip(&ends) {
        let result = if *code == "0" { "passed" } else { "FAILED" };
        println!("lab: {name} {result} in {seconds} s of the guest");
    }
    ensure!(ends.len() == tests.len(), "{} of {} programs ended", ends.len(), tests.len());
    let failed = ends.iter().filter(|(code, _)| *code != "0").count();
    let summaries = output.lines().filter(|line| line.starts_with("test result:")).count();
    ensure!(failed == 0, "{failed} of {} programs failed", tests.len());
    let is_empty = output.lines().any(|line| line == "running 0 tests");
    ensure!(summaries >= tests.len() && !is_empty, "a program ran no test");
    Ok(())
}
