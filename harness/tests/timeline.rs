//! The pages of `firedrill run --html`, used in a real browser.
//!
//! What is checked stands in `browser/timeline.cjs`; `.ci/run` installs Chromium and what drives it
//! into `target/browser`. Where one of them is missing, each check says so and is counted as
//! ignored; with `FIREDRILL_BROWSER=required`, it fails.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

const CHECKS: [&str; 7] = [
    "the_index_lists_every_drill_and_leads_to_its_page",
    "a_finding_leads_to_the_events_that_prove_it",
    "a_click_on_a_mark_shows_its_request_and_response",
    "a_changed_message_shows_what_changed_in_it",
    "arrow_keys_move_and_the_picture_can_be_zoomed",
    "it_fits_a_phone_and_both_themes",
    "ten_thousand_events_are_drawn_without_delay",
];

/// A drill that fails with the planted defect.
const FAILED: &str = "idempotency/a_lost_answer_makes_one_invoice";
/// A drill of more than 10,000 events.
const LARGE: &str = "idempotency/a_lost_mapping_is_looked_up";
/// A drill in which a vendor changed.
const DRIFTED: &str = "drift/a_capped_page_is_not_the_last";

static SAID: OnceLock<Result<String, String>> = OnceLock::new();

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = CHECKS.iter().map(|check| Trial::ignorable_test(*check, move || said(check)));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn said(check: &str) -> Result<Completion, Failed> {
    let (modules, browser) = match (modules(), browser()) {
        (Some(modules), Some(browser)) => (modules, browser),
        _ if std::env::var_os("FIREDRILL_BROWSER").is_some_and(|v| v == "required") => {
            return Err("Node, playwright-core or Chromium is missing".into());
        }
        _ => {
            return Ok(Completion::ignored_with("skipped: Node, playwright-core or Chromium is missing"));
        }
    };
    let said = SAID.get_or_init(|| run(&modules, &browser)).as_ref().map_err(Failed::from)?;
    let good = format!("ok {check}");
    if check.contains("without_delay") {
        said.lines().filter(|l| l.starts_with('#')).for_each(|measured| eprintln!("{measured}"));
    }
    match said.lines().find(|l| l.trim_start_matches("not ").starts_with(&good)) {
        Some(line) if line == good => Ok(Completion::Completed),
        Some(line) => Err(line.into()),
        None => Err(format!("the browser did not get to it:\n{said}").into()),
    }
}

/// Where `.ci/run` installs what drives the browser.
fn modules() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let modules = target.join("browser/node_modules");
    modules.join("playwright-core").is_dir().then_some(modules)
}

fn browser() -> Option<PathBuf> {
    let places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    places.iter().map(PathBuf::from).find(|p| p.is_file())
}

/// Draws the pages and has the browser use them; gives what it said.
fn run(modules: &Path, browser: &Path) -> Result<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("there is no workspace")?;
    let pages = tempfile::tempdir().map_err(|e| e.to_string())?;
    let drills = [FAILED, LARGE, DRIFTED].map(|d| format!("scenarios/{d}.yaml"));
    let drilled = Command::new(env!("CARGO_BIN_EXE_firedrill"))
        .current_dir(root)
        .args(["run", "--defect", "fresh_key_per_attempt", "--html"])
        .arg(pages.path())
        .args(drills)
        .output()
        .map_err(|e| e.to_string())?;
    if drilled.status.code() != Some(1) {
        return Err(format!("the drills should fail: {drilled:?}"));
    }
    let node = Command::new("node")
        .arg(root.join("harness/tests/browser/timeline.cjs"))
        .arg(pages.path())
        .args([FAILED, LARGE, DRIFTED].map(|d| format!("{d}.seed-1.html")))
        .arg(browser)
        .env("NODE_PATH", modules)
        .output()
        .map_err(|e| format!("node cannot be run: {e}"))?;
    let said = String::from_utf8_lossy(&node.stdout).into_owned();
    if said.is_empty() { Err(String::from_utf8_lossy(&node.stderr).into_owned()) } else { Ok(said) }
}
