//! A program as subject: how it is started, met, and told of its surroundings, as data.
//!
//! Knows: what a subject file may say, and what it means when it says nothing. Must not know:
//! processes, sockets, or what a placeholder stands for in any one drill.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Span;

/// A subject file: a program in any language, put to the test over real sockets in real time.
///
/// Texts may hold placeholders: `{vendors.ALIAS.url}`, `{vendors.ALIAS.NAME}` (a credential such as
/// `refresh_token`, `api_key`, `client_secret`, `webhook_secret`), `{webhooks.ALIAS.url}` (the
/// public address of its webhooks, which signatures cover), `{port}` (a free port, the same for
/// all lives of a drill) and `{port.NAME}` for more, `{state}` (a folder that survives a crash),
/// `{secrets}` (a folder with the file `ALIAS.NAME` for each credential, which holds its value and
/// nothing else, replaced as a whole when it is rolled), `{ca}` (with `tls`, the certificate of the
/// authority that vouches for the vendors, a PEM file: see there), `{alerts}` (where alerts are
/// posted, as JSON, a form or text of any shape: a drill's `expect.alerts` looks for its words in the
/// whole of it), `{seed}`, `{scale}`, `{here}` (the folder of this file), and `{ms:5m}` or
/// `{seconds:5m}`: a span in that unit, divided by the scale of the run. `{{` and `}}` stand for braces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// What reports call it; the program's file name, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The program and its arguments, each a text of its own: `[python3, app.py, --port, "{port}"]`.
    /// A program with a `/` in it is looked for relative to this file, any other on the PATH.
    pub command: Vec<String>,
    /// The working folder, relative to this file; the file's own folder, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Environment variables, on top of those that firedrill itself has. The settings of a drill
    /// (`subject.settings`) go on top of these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Whether it meets its vendors over TLS: `{vendors.ALIAS.url}` is then an https address, and
    /// `{ca}` a file that it has to be told to trust, since nobody else does. Where usual clients
    /// look: `SSL_CERT_FILE` (OpenSSL, Go, Python's `ssl`, Rust's native roots),
    /// `NODE_EXTRA_CA_CERTS` (Node), `REQUESTS_CA_BUNDLE` (Python's `requests`), `CURL_CA_BUNDLE`
    /// (curl). None of them is set unless `env` does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
    /// Whether it runs until it is stopped, or to its end.
    #[serde(default)]
    pub runs: Runs,
    /// How to know that it takes webhooks and triggers; as soon as it is started, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<ReadyWhen>,
    /// The longest that getting ready may take, in real time (default 30s).
    #[serde(default = "half_a_minute")]
    pub ready_within: Span,
    /// Where each vendor's webhooks are delivered, by the vendor's alias. Webhooks of a vendor that
    /// is not named here are not sent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub webhooks: BTreeMap<String, String>,
    /// How each job is triggered, by the name under which a drill says `do: job NAME`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub jobs: BTreeMap<String, Trigger>,
    /// What can be read at the end by a GET, by name: `metrics` (Prometheus text), `dead_letters` and
    /// `quarantine` (work and payloads set aside), or any name that a drill's `expect.exposed` asks
    /// for (JSON).
    ///
    /// Work set aside is JSON: a list of entries, an object that holds such a list, or an object of
    /// entries by key. An entry names its record somewhere in its texts, by the id that the vendor
    /// knows it by, and says why under a name such as `reason`, `error` or `message`:
    /// `[{"deal": "18000000298", "reason": "amount is missing"}]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub exposes: BTreeMap<String, String>,
    /// A file that it writes its log to, if it does not write it to its output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// How it lives with a scale: see [`Waits`].
    #[serde(default)]
    pub waits: Waits,
    /// For `waits: own`: what it may need after the disturbance to catch up, by its own waits, in
    /// real time (default 30s).
    #[serde(default = "half_a_minute")]
    pub recovers_within: Span,
}

fn half_a_minute() -> Span {
    Span::secs(30)
}

/// How long a program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Runs {
    /// Until it is stopped (SIGTERM).
    #[default]
    Service,
    /// To its end, over and over: a job that something like cron starts.
    Job(Often),
}

/// How often a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Often {
    /// The pause between the end of a run and the start of the next, divided by the scale.
    pub every: Span,
}

/// How to know that a program is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadyWhen {
    /// A GET of this URL is answered with 2xx.
    Http(String),
    /// This `host:port` accepts a connection.
    Tcp(String),
    /// A line of its output contains this.
    Line(String),
}

/// How a job is triggered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// By a POST to this URL.
    Post(String),
    /// By a signal to the program.
    Signal(Signal),
    /// By this command, run to its end; exit code 0 says that it was done.
    Run(Vec<String>),
    /// By the program's own schedule: nothing is done.
    Own,
}

/// Signals that programs take for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// SIGHUP.
    Hup,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
}

/// How a program lives with a scale, which shortens the drill and its vendors' windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Waits {
    /// Its own waits (backoff, timeouts, schedules) stay as they are: so do the promises about
    /// them, and the faults that are to outlast them. Only the drill and its vendors are scaled.
    #[default]
    Own,
    /// It divides its own waits by `{scale}`, or is told them by `{ms:…}` and `{seconds:…}`: all
    /// promises are scaled with the drill.
    Scaled,
}

/// Why a text with placeholders cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfilled {
    /// A brace that is not closed, or closes nothing.
    #[error("`{0}` has a brace without its pair; write `{{{{` or `}}}}` for a brace of its own")]
    Brace(String),
    /// A placeholder that stands for nothing anywhere.
    #[error("`{{{0}}}` is no placeholder")]
    Unknown(String),
    /// A span that cannot be read.
    #[error("`{{{0}}}`: {1}")]
    Span(String, crate::time::NotASpan),
}

/// A placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// `{vendors.ALIAS.url}`.
    VendorUrl(String),
    /// `{vendors.ALIAS.NAME}`.
    Credential(String, String),
    /// `{webhooks.ALIAS.url}`.
    WebhookUrl(String),
    /// `{port}` and `{port.NAME}`.
    Port(String),
    /// `{state}`.
    State,
    /// `{secrets}`.
    Secrets,
    /// `{ca}`.
    Ca,
    /// `{alerts}`.
    Alerts,
    /// `{seed}`.
    Seed,
    /// `{scale}`.
    Scale,
    /// `{here}`.
    Here,
    /// `{ms:SPAN}`.
    Millis(Span),
    /// `{seconds:SPAN}`.
    Seconds(Span),
}

/// The placeholders, as an error lists them.
pub const SLOTS: [&str; 13] = [
    "vendors.ALIAS.url",
    "vendors.ALIAS.CREDENTIAL",
    "webhooks.ALIAS.url",
    "port",
    "state",
    "secrets",
    "ca",
    "alerts",
    "seed",
    "scale",
    "here",
    "ms:SPAN",
    "seconds:SPAN",
];

/// A piece of a text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Plain(String),
    /// To be filled in.
    Slot(Slot),
}

/// Takes a text apart.
///
/// # Errors
/// See [`Unfilled`].
pub fn pieces(text: &str) -> Result<Vec<Piece>, Unfilled> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        let after = &rest[at + 1..];
        if let Some(more) = after.strip_prefix(brace) {
            plain.push_str(brace);
            rest = more;
        } else if brace == "{"
            && let Some((name, more)) = after.split_once('}')
        {
            if !plain.is_empty() {
                pieces.push(Piece::Plain(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Slot(slot(name)?));
            rest = more;
        } else {
            return Err(Unfilled::Brace(text.to_owned()));
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Plain(plain));
    }
    Ok(pieces)
}

fn slot(name: &str) -> Result<Slot, Unfilled> {
    let span = |text: &str| text.parse().map_err(|e| Unfilled::Span(name.to_owned(), e));
    if let Some(text) = name.strip_prefix("ms:") {
        return span(text).map(Slot::Millis);
    }
    if let Some(text) = name.strip_prefix("seconds:") {
        return span(text).map(Slot::Seconds);
    }
    Ok(match name.split('.').collect::<Vec<_>>().as_slice() {
        ["vendors", alias, "url"] => Slot::VendorUrl((*alias).to_owned()),
        ["vendors", alias, credential] => Slot::Credential((*alias).to_owned(), (*credential).to_owned()),
        ["webhooks", alias, "url"] => Slot::WebhookUrl((*alias).to_owned()),
        ["port"] => Slot::Port(String::new()),
        ["port", name] => Slot::Port((*name).to_owned()),
        ["state"] => Slot::State,
        ["secrets"] => Slot::Secrets,
        ["ca"] => Slot::Ca,
        ["alerts"] => Slot::Alerts,
        ["seed"] => Slot::Seed,
        ["scale"] => Slot::Scale,
        ["here"] => Slot::Here,
        _ => return Err(Unfilled::Unknown(name.to_owned())),
    })
}

impl Program {
    /// Every text that may hold placeholders, with the path of keys and indices to it.
    pub fn texts(&self) -> Vec<(Vec<String>, &str)> {
        let mut all: Vec<(Vec<String>, &str)> = Vec::new();
        let path = |keys: &[&str]| keys.iter().map(|k| (*k).to_owned()).collect::<Vec<_>>();
        for (n, word) in self.command.iter().enumerate() {
            all.push((path(&["command", &n.to_string()]), word));
        }
        all.extend(self.folder.iter().map(|t| (path(&["folder"]), t.as_str())));
        all.extend(self.log.iter().map(|t| (path(&["log"]), t.as_str())));
        for (key, map) in [("env", &self.env), ("webhooks", &self.webhooks), ("exposes", &self.exposes)] {
            all.extend(map.iter().map(|(name, text)| (path(&[key, name]), text.as_str())));
        }
        match &self.ready {
            Some(ReadyWhen::Http(t)) => all.push((path(&["ready", "http"]), t)),
            Some(ReadyWhen::Tcp(t)) => all.push((path(&["ready", "tcp"]), t)),
            Some(ReadyWhen::Line(t)) => all.push((path(&["ready", "line"]), t)),
            None => {}
        }
        for (name, trigger) in &self.jobs {
            match trigger {
                Trigger::Post(t) => all.push((path(&["jobs", name, "post"]), t)),
                Trigger::Run(words) => {
                    for (n, word) in words.iter().enumerate() {
                        all.push((path(&["jobs", name, "run", &n.to_string()]), word));
                    }
                }
                Trigger::Signal(_) | Trigger::Own => {}
            }
        }
        all
    }

    /// The vendors that it cannot be started without.
    pub fn needs(&self) -> std::collections::BTreeSet<String> {
        let slots = self.texts().into_iter().flat_map(|(_, text)| pieces(text).unwrap_or_default());
        slots
            .filter_map(|piece| match piece {
                Piece::Slot(
                    Slot::VendorUrl(alias) | Slot::Credential(alias, _) | Slot::WebhookUrl(alias),
                ) => Some(alias),
                _ => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_apart_at_its_placeholders() {
        let plain = |t: &str| Piece::Plain(t.to_owned());
        assert_eq!(
            pieces("http://{{x}}:{port}/{vendors.crm.url}?{ms:1.5s}").unwrap(),
            [
                plain("http://{x}:"),
                Piece::Slot(Slot::Port(String::new())),
                plain("/"),
                Piece::Slot(Slot::VendorUrl("crm".into())),
                plain("?"),
                Piece::Slot(Slot::Millis(Span::millis(1500))),
            ]
        );
        assert_eq!(pieces("{prot}"), Err(Unfilled::Unknown("prot".into())));
        assert!(matches!(pieces("{port"), Err(Unfilled::Brace(_))));
        assert!(matches!(pieces("port}"), Err(Unfilled::Brace(_))));
        assert!(matches!(pieces("{ms:soon}"), Err(Unfilled::Span(..))));
    }

    proptest::proptest! {
        #[test]
        fn a_text_without_braces_stays_as_it_is(text in "[^{}]*") {
            let whole: Vec<Piece> = if text.is_empty() { vec![] } else { vec![Piece::Plain(text.clone())] };
            proptest::prop_assert_eq!(pieces(&text).unwrap(), whole);
        }
    }
}
