//! The example subjects in other languages: what their READMEs say that firedrill finds, it finds.
//!
//! They need the vendors' own clients, which `.ci/run` installs into `target/sdk`. Where Python, Node
//! or a package is missing, an example is skipped by name; with `FIREDRILL_SDK=required`, it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;

/// An example, and those of its drills that are run here: the others take as long again.
struct Example {
    name: &'static str,
    /// A program that ends well if the clients are there.
    probe: &'static [&'static str],
    run: &'static [&'static str],
}

static EXAMPLES: [Example; 2] = [
    Example {
        name: "python-invoicer",
        probe: &["python3", "-c", "import hubspot, stripe"],
        run: &["every_currency", "a_webhook_is_lost", "the_secret_is_rolled"],
    },
    Example {
        name: "node-invoicer",
        probe: &["node", "-e", "require('@hubspot/api-client'); require('stripe')"],
        run: &["every_currency", "many_at_one_moment", "one_bad_deal"],
    },
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Each runs its drills side by side already.
    arguments.test_threads.get_or_insert(1);
    let trials = EXAMPLES.iter().flat_map(|example| {
        [
            Trial::test(format!("{}::its_readme_tells_of_every_drill", example.name), move || {
                example.is_told()
            }),
            Trial::ignorable_test(format!("{}::its_findings_are_found", example.name), move || {
                example.is_true()
            }),
        ]
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

impl Example {
    fn folder(&self) -> PathBuf {
        root().join("examples").join(self.name)
    }

    fn readme(&self) -> Result<String, Failed> {
        Ok(std::fs::read_to_string(self.folder().join("README.md"))?)
    }

    fn is_told(&self) -> Result<(), Failed> {
        let readme = self.readme()?;
        for entry in std::fs::read_dir(self.folder().join("drills"))? {
            let path = entry?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if !name.starts_with('_') && !readme.contains(&format!("`{name}`")) {
                return Err(format!("README.md does not speak of `{name}`").into());
            }
        }
        Ok(())
    }

    fn is_true(&self) -> Result<Completion, Failed> {
        let probed = command(self.probe[0]).args(&self.probe[1..]).output();
        if !probed.is_ok_and(|output| output.status.success()) {
            let why = format!("the clients that {} needs are not in {}", self.name, sdk().display());
            return match std::env::var_os("FIREDRILL_SDK").is_some_and(|v| v == "required") {
                true => Err(why.into()),
                false => Ok(Completion::ignored_with(format!("skipped: {why}"))),
            };
        }
        let told = told(&self.readme()?);
        let found = self.found()?;
        for drill in self.run {
            let told = told.get(*drill).ok_or_else(|| format!("README.md has no finding of `{drill}`"))?;
            let found = found.get(*drill).ok_or_else(|| format!("`{drill}` was not run"))?;
            let missing: Vec<&String> = told.difference(found).collect();
            if !missing.is_empty() {
                return Err(format!("`{drill}`: {missing:?} is told, but found is {found:?}").into());
            }
        }
        Ok(Completion::Completed)
    }

    /// The rules that each drill found broken.
    fn found(&self) -> Result<BTreeMap<String, BTreeSet<String>>, Failed> {
        let drills = self.run.iter().map(|name| self.folder().join(format!("drills/{name}.yaml")));
        let output = command(env!("CARGO_BIN_EXE_firedrill"))
            .args(["run", "--format", "jsonl", "--jobs", "3", "--subject"])
            .arg(self.folder().join("subject.yaml"))
            .args(drills)
            .output()?;
        if !matches!(output.status.code(), Some(1 | 2)) {
            let said = [output.stdout, output.stderr].concat();
            return Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&said)).into());
        }
        let mut all = BTreeMap::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let drill: Value = serde_json::from_str(line)?;
            let name = drill["name"].as_str().unwrap_or_default();
            let judgements = drill["judgements"].as_array().into_iter().flatten();
            let findings = judgements.flat_map(|j| j["findings"].as_array().into_iter().flatten());
            // On a machine too busy to be sure of it, a finding is one all the same.
            let doubted =
                |f: &Value| f["message"].as_str().is_some_and(|m| m.contains("this machine was overloaded"));
            let broken = findings.filter(|f| f["verdict"] == "fail" || doubted(f));
            let rules = broken.filter_map(|f| f["rule"].as_str().map(str::to_owned)).collect();
            all.insert(name.rsplit('/').next().unwrap_or(name).to_owned(), rules);
        }
        Ok(all)
    }
}

/// The rules that the table of a README names for each drill: its first two columns.
fn told(readme: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in readme.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = row.split('|').skip(1).map(|cell| cell.split('`').skip(1).step_by(2));
        if let (Some(drills), Some(rules)) = (cells.next(), cells.next()) {
            let rules: Vec<&str> = rules.collect();
            for drill in drills {
                all.entry(drill.to_owned()).or_default().extend(rules.iter().map(|&rule| rule.to_owned()));
            }
        }
    }
    all
}

/// A program that finds the clients first.
fn command(program: &str) -> Command {
    let sdk = sdk();
    let others = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(sdk.join("venv/bin")).chain(std::env::split_paths(&others));
    let mut command = Command::new(program);
    if let Ok(path) = std::env::join_paths(path) {
        command.env("PATH", path);
    }
    command.env("NODE_PATH", sdk.join("node_modules")).current_dir(root());
    command
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Where `.ci/run` installs the clients.
fn sdk() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap_or(Path::new("target"));
    std::env::var_os("FIREDRILL_SDK_DIR").map_or_else(|| target.join("sdk"), PathBuf::from)
}
