// SPDX-License-Identifier: Apache-2.0
//! Tests of this crate as programs, and what became of them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use integration::{binary, root};
use serde_json::Value as Json;

use super::kernel::run;

/// A test as a program.
pub struct Test {
    /// As it was asked for: the name of its file, and a filter after a colon.
    asked: String,
    program: PathBuf,
    /// Runs only what has this in its name.
    filter: String,
}

impl Test {
    fn of(asked: &str, folder: &Path) -> Self {
        let (name, filter) = asked.split_once(':').unwrap_or((asked, ""));
        Self { asked: asked.to_owned(), program: folder.join(name), filter: filter.to_owned() }
    }
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
    let tests: Vec<Test> = names.iter().map(|asked| Test::of(asked, folder)).collect();
    for Test { program, .. } in &tests {
        cargo.arg("--test").arg(program.file_name().unwrap_or_default());
    }
    let messages = run(cargo.current_dir(root()))?;
    let messages: Vec<Json> =
        messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    // In this order, not in that in which cargo is done: every run is like the one before.
    for Test { asked, program, .. } in &tests {
        let name = program.file_name().and_then(OsStr::to_str);
        let is_it = |message: &&Json| message["target"]["name"].as_str() == name;
        let built = messages.iter().filter(is_it).find_map(|it| it["executable"].as_str());
        fs::copy(built.with_context(|| format!("cargo built nothing for {asked}"))?, program)?;
    }
    Ok(tests)
}

/// Asks the agent what it finds, then runs all tests, one after the other.
pub fn script(agent: &Path, tests: &[&Test]) -> String {
    let agent = agent.display();
    let variables = ["HOME", "XDG_CACHE_HOME"];
    let set = variables.iter().filter_map(|name| Some((name, std::env::var(name).ok()?)));
    let mut script: String =
        set.map(|(name, value)| format!("export {name}='{value}'\n")).collect();
    script.push_str(
        "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
         export HUATUO_TEST_SLOWNESS=10 HUATUO_LAB=1 RUST_BACKTRACE=0\n\
         modprobe --all veth overlay tcp_diag bonding bridge dummy sch_netem\n\
         echo \"guest: $(uname -r), cgroup: $(stat -f -c %T /sys/fs/cgroup)\"\n\
         echo \"guest: $(grep -w asm_exc_int3 /proc/kallsyms)\"\n",
    );
    script.push_str(&format!(
        "export HUATUO_OTEL_BIN={agent}\n{agent} check --json > /out/check.json\n"
    ));
    for Test { asked, program, filter } in tests {
        let program = program.display();
        script.push_str(&format!(
            "begin=$(cut -d. -f1 /proc/uptime)\n{program} --test-threads=1 --color=never {filter}\n\
             echo \"guest: end of {asked} $? $(($(cut -d. -f1 /proc/uptime) - begin))\"\n"
        ));
    }
    script.push_str("echo \"guest: done\"\n");
    script
}

/// Return code and seconds of each time that a test came to its end.
fn ends<'a>(output: &'a str, test: &Test) -> Vec<(&'a str, &'a str)> {
    let begin = format!("guest: end of {} ", test.asked);
    output.lines().filter_map(|line| line.strip_prefix(&begin)?.split_once(' ')).collect()
}

/// Those that a guest has still to run: what was cut short, and once more what failed.
pub fn left<'a>(output: &str, tests: &'a [Test]) -> Vec<&'a Test> {
    let is_left = |test: &&Test| {
        let ends = ends(output, test);
        ends.len() < 2 && ends.iter().all(|(code, _)| *code != "0")
    };
    tests.iter().filter(is_left).collect()
}

/// An error unless all of them passed.
pub fn judge(output: &str, tests: &[Test]) -> Result<()> {
    let mut failed = Vec::new();
    for test in tests {
        let ends = ends(output, test);
        let (name, times) = (&test.asked, ends.len());
        match ends.last() {
            Some(("0", seconds)) if times == 1 => println!("lab: {name} passed in {seconds} s"),
            Some(("0", seconds)) => {
                println!("lab: {name} passed in {seconds} s, and FAILED before: mend it");
            }
            Some((code, _)) => failed.push(format!("{name} failed {times} times, code {code}")),
            None => failed.push(format!("{name} did not end")),
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("; "));
    let summaries = output.lines().filter(|line| line.starts_with("test result: ok")).count();
    let is_empty = output.lines().any(|line| line == "running 0 tests");
    ensure!(summaries >= tests.len() && !is_empty, "a program ran no test");
    Ok(())
}
