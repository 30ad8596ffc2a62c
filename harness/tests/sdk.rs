//! The vendors' own clients, unchanged, against vendors that `firedrill serve` serves.
//!
//! The checks are programs in Python and Node in `sdk/`; `.ci/run` installs what they need into
//! `target/sdk`. Where Python, Node or a package is missing, each check says so and is counted as
//! ignored; with `FIREDRILL_SDK=required`, it fails.

mod served;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use served::Served;

/// A client, and what is checked with it.
struct Client {
    name: &'static str,
    script: &'static str,
    package: &'static str,
    checks: &'static [&'static str],
    ran: OnceLock<Result<String, String>>,
}

const WEBHOOKS: &str = "webhooks_verify_with_the_clients_own_function";

static CLIENTS: [Client; 5] = [
    Client {
        name: "stripe_python",
        script: "stripe_python.py",
        package: "stripe",
        checks: &[
            "a_customer_is_created_read_updated_and_deleted",
            "the_global_style_works_too",
            "an_invoice_is_made_of_items_and_finalized",
            "lists_page_by_themselves",
            "a_search_finds_and_pages",
            "a_replayed_key_gives_the_first_answer",
            "errors_are_of_their_classes",
            "a_lost_answer_is_retried_under_one_key",
            WEBHOOKS,
        ],
        ran: OnceLock::new(),
    },
    Client {
        name: "hubspot_python",
        script: "hubspot_python.py",
        package: "hubspot",
        checks: &HUBSPOT,
        ran: OnceLock::new(),
    },
    Client {
        name: "stripe_node",
        script: "stripe_node.cjs",
        package: "stripe",
        checks: &[
            "a_customer_is_created_read_updated_and_deleted",
            "an_invoice_is_made_of_items_and_finalized",
            "lists_page_by_themselves",
            "a_search_finds_and_pages",
            "a_replayed_key_gives_the_first_answer",
            "errors_are_of_their_classes",
            "a_lost_answer_is_retried_under_one_key",
            WEBHOOKS,
        ],
        ran: OnceLock::new(),
    },
    Client {
        name: "hubspot_node",
        script: "hubspot_node.cjs",
        package: "@hubspot/api-client",
        checks: &HUBSPOT,
        ran: OnceLock::new(),
    },
    Client {
        name: "control_api",
        script: "description.py",
        package: "openapi_spec_validator",
        checks: &["the_description_is_openapi_3_1"],
        ran: OnceLock::new(),
    },
];

const HUBSPOT: [&str; 8] = [
    "a_refresh_token_gives_an_access_token_until_it_expires",
    "a_bad_refresh_token_is_refused",
    "a_deal_is_created_read_updated_and_archived",
    "get_all_pages_by_itself",
    "a_search_finds_sorts_and_pages",
    "a_batch_is_read",
    "errors_are_of_their_classes",
    WEBHOOKS,
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Programs and vendors at once on a small machine are slow rather than quick.
    arguments.test_threads.get_or_insert(2);
    let trials = CLIENTS.iter().flat_map(|client| {
        client.checks.iter().map(move |check| {
            let name = format!("{}::{check}", client.name);
            Trial::ignorable_test(name, move || client.said(check))
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

impl Client {
    /// What the client's program says of one check; it runs once for all of them.
    fn said(&self, check: &str) -> Result<Completion, Failed> {
        let runtime = match self.runtime() {
            Ok(runtime) => runtime,
            Err(why) if std::env::var_os("FIREDRILL_SDK").is_some_and(|v| v == "required") => {
                return Err(why.into());
            }
            Err(why) => return Ok(Completion::ignored_with(format!("skipped: {why}"))),
        };
        let ran = self.ran.get_or_init(|| self.run(&runtime));
        let said = ran.as_ref().map_err(Failed::from)?;
        let verdict = |line: &&str| *line == format!("ok {check}") || *line == format!("not ok {check}");
        let mut lines = said.lines().skip_while(|line| !verdict(line));
        match lines.next() {
            Some(line) if line.starts_with("ok ") => Ok(Completion::Completed),
            Some(_) => {
                let why: Vec<&str> = lines.take_while(|line| line.starts_with("  ")).collect();
                Err(why.join("\n").into())
            }
            None => Err(format!("{} said nothing of it:\n{said}", self.script).into()),
        }
    }

    fn is_python(&self) -> bool {
        self.script.ends_with(".py")
    }

    /// The program that runs the script, once it is known to have the package.
    fn runtime(&self) -> Result<PathBuf, String> {
        let sdk = sdk();
        let (runtime, test) = if self.is_python() {
            (sdk.join("venv/bin/python"), ["-c".to_owned(), format!("import {}", self.package)])
        } else {
            let manifest = format!("require.resolve('{}')", self.package);
            (PathBuf::from("node"), ["-e".to_owned(), manifest])
        };
        let found = Command::new(&runtime).env("NODE_PATH", sdk.join("node_modules")).args(test).output();
        match found {
            Ok(output) if output.status.success() => Ok(runtime),
            Ok(_) => Err(format!("the package {} is not in {}", self.package, sdk.display())),
            Err(e) => Err(format!("{}: {e}", runtime.display())),
        }
    }

    fn run(&self, runtime: &Path) -> Result<String, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk");
        let served = Served::start(&["--scenario", &folder.join("vendors.yaml").to_string_lossy()]);
        let output = Command::new(runtime)
            .arg(folder.join(self.script))
            .arg(served.overview.to_string())
            .env("NODE_PATH", sdk().join("node_modules"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(said) } else { Err(format!("{}\n{said}\n{errors}", output.status)) }
    }
}

/// Where `.ci/run` installs the clients.
fn sdk() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap_or(Path::new("target"));
    std::env::var_os("FIREDRILL_SDK_DIR").map_or_else(|| target.join("sdk"), PathBuf::from)
}
