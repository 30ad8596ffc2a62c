//! `firedrill serve`: vendors alone.
//!
//! Knows: how what is to be served is named on the command line, and how it is announced. Must not
//! know: how vendors are served.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::ExitCode;
use super::args::{Announce, Serve};
use super::backend::Setting;
use super::console::Console;
use crate::casting;
use crate::plan::{self, Loaded};
use crate::report::mistake;
use crate::scenario::{ChangedVendor, Mistake, Scenario, VendorUse};
use crate::seed::Seed;
use crate::serve::{self, Overview, Setup, Trouble};
use crate::vendor::bundled_names;

/// Serves until it is told to stop.
pub(super) fn serve(args: &Serve, setting: &Setting, console: &mut Console<'_>) -> io::Result<ExitCode> {
    let setup = match setup(args, &setting.contracts) {
        Ok(setup) => setup,
        Err(Refused::Mistakes(mistakes)) => {
            for mistake in &mistakes {
                console.say(&format!("{}\n", mistake::render(mistake)));
            }
            return Ok(ExitCode::Usage);
        }
        Err(Refused::Words(why)) => {
            console.say(&format!("error: {why}\n"));
            return Ok(ExitCode::Usage);
        }
    };
    let mut printed = Ok(());
    let announce = |overview: &Overview| {
        printed = console.print(&match args.format {
            Announce::Terminal => told(overview),
            Announce::Json => format!("{}\n", serde_json::to_string(overview).unwrap_or_default()),
        });
    };
    let warn = |why: &str| {
        use io::Write as _;
        let _ = writeln!(anstream::stderr(), "warning: {why}");
    };
    match serve::run(setup, announce, warn, told_to_stop()) {
        Ok(()) => printed.map(|()| ExitCode::Passed),
        Err(trouble) => {
            console.say(&format!("error: {trouble}\n"));
            Ok(match trouble {
                Trouble::Usage(_) => ExitCode::Usage,
                Trouble::Internal(_) => ExitCode::Internal,
            })
        }
    }
}

/// Ctrl-C, or what a supervisor sends instead.
async fn told_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                biased;
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

enum Refused {
    Mistakes(Vec<Mistake>),
    Words(String),
}

impl From<Mistake> for Refused {
    fn from(mistake: Mistake) -> Refused {
        Refused::Mistakes(vec![mistake])
    }
}

fn setup(args: &Serve, contracts: &Path) -> Result<Setup, Refused> {
    let mut drill = match &args.scenario {
        None => Loaded { scenario: Scenario::of(BTreeMap::new()), file: String::new() },
        Some(path) => one_drill(path, contracts)?,
    };
    let mut ports = BTreeMap::new();
    for word in &args.vendors {
        let named = named(word).map_err(Refused::Words)?;
        if drill.scenario.vendors.contains_key(&named.alias) {
            let help = format!("give it another name: `--vendor OTHER={}`", named.vendor);
            return Err(Refused::Words(format!("two vendors are called `{}`\nhelp: {help}", named.alias)));
        }
        ports.extend(named.port.map(|port| (named.alias.clone(), port)));
        drill.scenario.vendors.insert(named.alias, VendorUse::Named(named.vendor));
    }
    if drill.scenario.vendors.is_empty() {
        let known = bundled_names().collect::<Vec<_>>().join(", ");
        return Err(Refused::Words(format!(
            "there is nothing to serve\nhelp: name vendors (`--vendor hubspot --vendor billing=stripe`) or a \
             drill (`--scenario FILE`); bundled are {known}"
        )));
    }
    for vendor in drill.scenario.vendors.values_mut() {
        *vendor = with_webhooks(vendor, contracts);
    }
    let mut facts = BTreeMap::new();
    for (alias, vendor) in &drill.scenario.vendors {
        facts.insert(alias.clone(), casting::facts(vendor, contracts)?);
    }
    let plan = casting::plan(&drill, contracts)?;
    if let Some(port) = args.port {
        for (alias, next) in drill.scenario.vendors.keys().zip(u32::from(port) + 1..) {
            let next = u16::try_from(next).map_err(|_| {
                Refused::Words(format!(
                    "there are too few ports after {port}\nhelp: begin lower, or name a port for each vendor"
                ))
            })?;
            ports.entry(alias.clone()).or_insert(next);
        }
    }
    let mut targets = BTreeMap::new();
    for word in &args.webhooks {
        let (alias, url) = word.split_once('=').ok_or_else(|| {
            Refused::Words(format!(
                "`{word}` is no target\nhelp: write it as `ALIAS=http://127.0.0.1:3000/hooks`"
            ))
        })?;
        if !drill.scenario.vendors.contains_key(alias) {
            let known = drill.scenario.vendors.keys().map(String::as_str).collect::<Vec<_>>();
            return Err(Refused::Words(format!(
                "no vendor is called `{alias}`\nhelp: there are {}",
                known.join(", ")
            )));
        }
        serve::check_target(url).map_err(Refused::Words)?;
        targets.insert(alias.to_owned(), url.to_owned());
    }
    let Scenario { vendors, given, faults, .. } = drill.scenario;
    Ok(Setup {
        vendors,
        open: plan.vendors,
        facts,
        ports,
        control: args.port.unwrap_or(0),
        given,
        faults,
        targets,
        seed: Seed(args.seed),
        state: args.state.clone(),
        journal: args.journal.clone(),
        tls: args.tls.clone(),
        now: wall,
    })
}

#[expect(clippy::disallowed_methods, reason = "served vendors live in real time, and say so")]
fn wall() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

fn one_drill(path: &Path, contracts: &Path) -> Result<Loaded, Refused> {
    let look_up = |vendor: &VendorUse| casting::facts(vendor, contracts).map(Some);
    let mut drills = plan::load(&[path.to_owned()], &look_up).map_err(Refused::Mistakes)?;
    match (drills.pop(), drills.len()) {
        (Some(drill), 0) => Ok(drill),
        (None, _) => Err(Refused::Words(format!("{} holds no drill", path.display()))),
        (Some(_), more) => {
            Err(Refused::Words(format!("{} holds {} drills\nhelp: name one file", path.display(), more + 1)))
        }
    }
}

/// The vendor with an endpoint registered for its webhooks, unless its drill says otherwise: where
/// they go, if anywhere, is said while it is served.
fn with_webhooks(vendor: &VendorUse, contracts: &Path) -> VendorUse {
    let mut changed = match vendor {
        VendorUse::Named(name) => ChangedVendor { vendor: name.clone(), with: json!({}), fixtures: None },
        VendorUse::Changed(changed) => changed.clone(),
    };
    if changed.with.is_null() {
        changed.with = json!({});
    }
    let silent = Value::is_null;
    if !changed.with.pointer("/webhooks").is_none_or(|w| w.get("enabled").is_none_or(silent)) {
        return vendor.clone();
    }
    changed.with["webhooks"]["enabled"] = json!(true);
    let changed = VendorUse::Changed(changed);
    // A vendor that has no webhooks at all cannot have them enabled.
    if casting::vendor_file(&changed, contracts).is_ok() { changed } else { vendor.clone() }
}

/// A vendor as it is named on the command line.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    alias: String,
    vendor: String,
    port: Option<u16>,
}

/// Reads `[ALIAS=]NAME[:PORT]`.
fn named(word: &str) -> Result<Named, String> {
    let bad = |why: &str| format!("`--vendor {word}`: {why}\nhelp: write it as `[ALIAS=]NAME[:PORT]`");
    let (alias, rest) = match word.split_once('=') {
        Some((alias, rest)) => (Some(alias), rest),
        None => (None, word),
    };
    let (vendor, port) = match rest.split_once(':') {
        Some((vendor, port)) => {
            let port = port.parse::<u16>().ok().filter(|p| *p > 0);
            (vendor, Some(port.ok_or_else(|| bad("a port is a number from 1 to 65535"))?))
        }
        None => (rest, None),
    };
    let alias = alias.unwrap_or(vendor);
    let word_like =
        |s: &str| !s.is_empty() && !s.contains(|c: char| c == '.' || c == '/' || c.is_whitespace());
    if !word_like(alias) || !word_like(vendor) {
        return Err(bad("names are single words, without dots, slashes and spaces"));
    }
    if ["webhook", "subject", "job"].contains(&alias) {
        return Err(bad("this name means something else in fault rules"));
    }
    Ok(Named { alias: alias.to_owned(), vendor: vendor.to_owned(), port })
}

/// What a person reads.
fn told(overview: &Overview) -> String {
    let mut out = format!("control  {0}  (described by {0}/openapi.json)\n", overview.control);
    for (alias, vendor) in &overview.vendors {
        let name = if *alias == vendor.vendor { String::new() } else { format!("  ({})", vendor.vendor) };
        out.push_str(&format!("\n{alias}  {}{name}\n", vendor.url));
        let width = vendor.credentials.keys().map(String::len).max().unwrap_or(0).max("webhooks to".len());
        for (credential, value) in &vendor.credentials {
            out.push_str(&format!("    {credential:<width$}  {}\n", value.replace('\n', " ")));
        }
        let target = vendor.webhooks.as_deref().unwrap_or("nowhere; PUT /vendors/ALIAS/webhooks");
        if !vendor.events.is_empty() {
            out.push_str(&format!("    {:<width$}  {target}\n", "webhooks to"));
        }
    }
    for (what, place) in [("trust", &overview.ca), ("state", &overview.state), ("journal", &overview.journal)]
    {
        if let Some(place) = place {
            out.push_str(&format!("\n{what}  {place}\n"));
        }
    }
    out + "\nserving until Ctrl-C\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendor_is_named_with_or_without_alias_and_port() {
        let of = |word: &str| named(word).map(|n| (n.alias, n.vendor, n.port));
        let read = |a: &str, v: &str, p| Ok((a.to_owned(), v.to_owned(), p));
        assert_eq!(of("stripe"), read("stripe", "stripe", None));
        assert_eq!(of("billing=stripe"), read("billing", "stripe", None));
        assert_eq!(of("billing=stripe:4010"), read("billing", "stripe", Some(4010)));
        assert_eq!(of("stripe:4010"), read("stripe", "stripe", Some(4010)));
        for bad in ["", "=stripe", "a=", "stripe:0", "stripe:x", "a b=stripe", "webhook=stripe"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
