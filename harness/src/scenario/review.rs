//! What a drill file may say by its schema and still cannot mean.
//!
//! Knows: which parts of a scenario must fit each other, and the names that exist. Must not know:
//! how anything is carried out; what a vendor has, it is told as [`VendorFacts`].

use std::collections::BTreeMap;

mod expect;

use super::fits::{bound_by_macros, called, example, may_meet};
use super::nearest::advice;
use super::program_review::{VARIABLE, no_variable};
use super::text::{Document, Mistake};
use super::{Action, Misfit, Scenario};
use crate::expr::Expr;
use crate::fault::{Act, Kind, Mutation, Point, Rule, Target};
use crate::time::{At, Span};

/// The files that a scenario was put together from.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The drill file.
    pub drill: &'a Document,
    /// The file that it extends.
    pub base: Option<&'a Document>,
}

impl<'a> Sources<'a> {
    /// A drill that extends nothing.
    pub fn alone(drill: &'a Document) -> Sources<'a> {
        Sources { drill, base: None }
    }

    /// What is wrong with the value at `path`, in the file that says it.
    pub fn mistake_at(&self, path: &[&str], message: impl Into<String>) -> Mistake {
        self.of(path).mistake_at(path, message)
    }

    /// What is wrong with the changes to the vendor called `alias`, in the file that makes them.
    pub fn mistake_in_changes(&self, alias: &str, misfit: &Misfit) -> Mistake {
        let top = ["vendors", alias, "with"];
        let within = misfit.path.iter().map(String::as_str);
        let path: Vec<&str> = top.into_iter().chain(within).collect();
        let document = self.of(&path);
        let there = document.find(&path).is_some();
        let mistake = match misfit.of_key && there {
            true => document.mistake_at_key(&path, misfit.message.clone()),
            false => document.mistake_at(&path, misfit.message.clone()),
        };
        Mistake { help: misfit.help.clone(), ..mistake }
    }

    /// The file that says what stands at `path`, or the most of the way there: the drill, if it says as
    /// much as its base.
    fn of(&self, path: &[&str]) -> &'a Document {
        let said = |document: &Document| {
            (0..=path.len()).rev().find(|n| document.find(&path[..*n]).is_some()).unwrap_or_default()
        };
        match self.base {
            Some(base) if said(self.drill) < said(base) => base,
            _ => self.drill,
        }
    }
}

/// What a vendor has that a scenario can name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VendorFacts {
    /// Collections, each with the name of one record: `deals` → `deal`.
    pub collections: BTreeMap<String, String>,
    /// Collections and accounts (`oauth`, `keys`), each with its actions.
    pub actions: BTreeMap<String, Vec<String>>,
    /// Operations: `POST /v1/invoices`.
    pub operations: Vec<String>,
    /// Types of webhook events.
    pub events: Vec<String>,
}

/// Everything that `scenario` says and cannot mean, in the order of the file. Names of collections,
/// actions, operations and events are looked up in `facts`, by alias; a vendor that is not in there
/// is not asked.
pub fn review(
    scenario: &Scenario,
    sources: &Sources<'_>,
    facts: Option<&BTreeMap<String, VendorFacts>>,
) -> Vec<Mistake> {
    let none = BTreeMap::new();
    let mut reviewer =
        Reviewer { scenario, sources: *sources, facts: facts.unwrap_or(&none), found: Vec::new() };
    reviewer.story();
    reviewer.vendors();
    reviewer.subject();
    reviewer.given();
    reviewer.workload();
    for (index, rule) in scenario.faults.iter().enumerate() {
        reviewer.fault(&index.to_string(), rule);
    }
    reviewer.expect();
    let mut found = reviewer.found;
    found.sort_by_key(|m| (m.line, m.column));
    found
}

struct Reviewer<'a> {
    scenario: &'a Scenario,
    sources: Sources<'a>,
    facts: &'a BTreeMap<String, VendorFacts>,
    found: Vec<Mistake>,
}

impl<'a> Reviewer<'a> {
    fn say(&mut self, path: &[&str], message: impl Into<String>, help: impl Into<String>) {
        self.found.push(self.sources.mistake_at(path, message).help(help));
    }

    fn say_of_key(&mut self, path: &[&str], message: impl Into<String>, help: impl Into<String>) {
        self.found.push(self.sources.of(path).mistake_at_key(path, message).help(help));
    }

    /// A program that the drill describes itself.
    fn subject(&mut self) {
        let subject = &self.scenario.subject;
        if let Some(program) = &subject.program
            && let Err(mistake) =
                self.sources.of(&["subject", "program"]).review_program(program, &["subject", "program"])
        {
            self.found.push(mistake);
        }
        for name in subject.settings.keys() {
            if let Some(why) = no_variable(name) {
                self.say_of_key(&["subject", "settings", name], why, VARIABLE);
            }
        }
        if subject.program.is_some() && subject.file.is_some() {
            self.say_of_key(&["subject", "file"], "a drill has one subject", "keep `file` or `program`");
        }
    }

    fn aliases(&self) -> Vec<&'a str> {
        self.scenario.vendors.keys().map(String::as_str).collect()
    }

    /// Whether `alias` is a vendor of the drill; says so if not.
    fn knows(&mut self, path: &[&str], of_key: bool, alias: &str) -> bool {
        if self.scenario.vendors.contains_key(alias) {
            return true;
        }
        let message = format!("no vendor of this drill is called `{alias}`");
        let help = advice(alias, &self.aliases(), "vendors");
        if of_key {
            self.say_of_key(path, message, help)
        } else {
            self.say(path, message, help)
        }
        false
    }

    /// Whether `text` is `ALIAS.collection` of a vendor that has it.
    fn collection(&mut self, path: &[&str], of_key: bool, text: &str) {
        let Some((alias, name)) = text.split_once('.').filter(|(_, n)| !n.is_empty() && !n.contains('.'))
        else {
            let message = format!("`{text}` names no collection");
            let help = "write `ALIAS.collection`, such as `crm.deals`";
            return if of_key { self.say_of_key(path, message, help) } else { self.say(path, message, help) };
        };
        if !self.knows(path, of_key, alias) {
            return;
        }
        let Some(facts) = self.facts.get(alias) else { return };
        if !facts.collections.contains_key(name) {
            let known: Vec<&str> = facts.collections.keys().map(String::as_str).collect();
            let message = format!("`{alias}` has no collection `{name}`");
            let help = advice(name, &known, "collections");
            if of_key { self.say_of_key(path, message, help) } else { self.say(path, message, help) }
        }
    }

    fn story(&mut self) {
        let scenario = self.scenario;
        for (key, text, what) in [
            ("drill", &scenario.drill, "the promise that it tests, as a sentence"),
            ("why", &scenario.why, "what goes wrong at 2 am when the promise is broken"),
        ] {
            if text.trim().is_empty() {
                self.say(&[key], format!("`{key}` is empty"), format!("write {what}"));
            }
        }
        if let (Some(heal), Some(end)) = (scenario.heal_at, scenario.ends_at)
            && heal > end
        {
            self.say(
                &["heal_at"],
                format!("the drill ends ({end}) before it heals ({heal})"),
                "make `ends_at` later than `heal_at`, and leave time to converge",
            );
        }
    }

    fn vendors(&mut self) {
        if self.scenario.vendors.is_empty() {
            self.say(
                &["vendors"],
                "the drill has no vendors",
                "name at least one, such as `vendors: { crm: hubspot }`",
            );
        }
        for alias in self.aliases() {
            let path = ["vendors", alias];
            if ["webhook", "subject", "job"].contains(&alias) {
                self.say_of_key(
                    &path,
                    format!("`{alias}` cannot be an alias: it means something else in rules and steps"),
                    "call the vendor by what it is to you, such as `crm` or `billing`",
                );
            } else if alias.is_empty() || alias.contains(|c: char| c == '.' || c == '/' || c.is_whitespace())
            {
                self.say_of_key(
                    &path,
                    format!("`{alias}` cannot be an alias"),
                    "an alias is one word, without dots, slashes and spaces",
                );
            }
        }
    }

    fn given(&mut self) {
        for (key, given) in &self.scenario.given {
            self.collection(&["given", key], true, key);
            for (field, values) in &given.each {
                if values.is_empty() {
                    self.say_of_key(
                        &["given", key, "each", field],
                        format!("`{field}` differs over no values"),
                        "list at least one value, or remove it",
                    );
                }
            }
        }
    }

    fn workload(&mut self) {
        for (index, step) in self.scenario.workload.iter().enumerate() {
            let index = index.to_string();
            let path = ["workload", &index, "do"];
            if let Action::Vendor { vendor, noun, verb } = &step.action
                && self.knows(&path, false, vendor)
                && let Some(facts) = self.facts.get(vendor)
            {
                match facts.actions.get(noun) {
                    None => {
                        let known: Vec<&str> = facts.actions.keys().map(String::as_str).collect();
                        let help = advice(noun, &known, "it has");
                        self.say(&path, format!("`{vendor}` has nothing called `{noun}`"), help);
                    }
                    Some(verbs) if !verbs.contains(verb) => {
                        let help = advice(verb, verbs, "actions");
                        self.say(&path, format!("`{vendor}.{noun}` has no action `{verb}`"), help);
                    }
                    Some(_) => {}
                }
            }
            if let Some(end) = self.scenario.ends_at
                && step.at >= end
            {
                self.say(
                    &["workload", &index, "at"],
                    format!("this step comes at {}, when the drill has ended ({end})", step.at),
                    "let it come earlier, or move `ends_at`",
                );
            }
            for (key, zero) in [
                ("times", step.times == Some(0)),
                ("each", step.each == Some(0)),
                ("every", step.every == Some(Span::ZERO)),
            ] {
                if zero {
                    self.say(
                        &["workload", &index, key],
                        format!("with `{key}` at zero this step never happens, or never ends"),
                        "write at least 1 (for `every`: a span of time)",
                    );
                }
            }
            if let Some(when) = &step.when {
                let aliases = self.aliases();
                self.variables(&["workload", &index, "when"], when, &aliases);
            }
        }
    }

    fn fault(&mut self, index: &str, rule: &Rule) {
        let on = ["faults", index, "on"];
        let act = ["faults", index, "do"];
        if let Some(alias) = rule.on.vendor() {
            // The target is one text: point at it whole.
            if self.knows(&on, false, alias) {
                self.names_something(&on, &rule.on);
            }
        }
        let kind = Kind::of(&rule.on);
        let word = match &rule.act {
            Act::Drift(mutation) => mutation.word(),
            act => act.word(),
        };
        let kinds = rule.act.kinds();
        if !kinds.contains(&kind) {
            let others: Vec<&str> = kinds.iter().map(|k| called(*k)).collect();
            self.say(
                &act,
                format!("`{word}` acts on {}, and this rule is on {}", others.join(" or "), called(kind)),
                format!("write `on: {}`", example(kinds[0], rule.on.vendor())),
            );
            return;
        }
        self.window(index, rule, kind, word);
        self.no_request_to_look_at(index, rule, kind, word);
        if let (Some(window), Some(heal)) = (rule.window, self.scenario.heal_at)
            && window.from >= At(heal.0)
        {
            self.say(
                &["faults", index, "window"],
                format!(
                    "this window opens at {}, when the drill has healed ({heal}): the fault can never bite",
                    window.from
                ),
                "let it open earlier, or move `heal_at`",
            );
        }
        match &rule.act {
            Act::Reply(reply) => {
                self.status(index, "reply", Some(reply.status));
                if reply.json.is_some() && reply.text.is_some() {
                    self.say_of_key(
                        &["faults", index, "do", "reply", "text"],
                        "a reply has one body: `json` or `text`",
                        "remove one of the two",
                    );
                }
            }
            Act::Error(error) => self.status(index, "error", error.status),
            Act::Drift(mutation) => self.drift(index, mutation),
            Act::Duplicate(copies) if copies.times < 2 => self.say(
                &["faults", index, "do", "duplicate", "times"],
                format!("{} delivery in all is no duplicate", copies.times),
                "`times` counts all deliveries of the event: write 2 or more",
            ),
            _ => {}
        }
        if let Some(when) = &rule.when {
            let variable = if kind == Kind::Webhook { "event" } else { "request" };
            self.variables(&["faults", index, "when"], when, &[variable]);
        }
    }

    fn status(&mut self, index: &str, act: &str, status: Option<u16>) {
        if let Some(status) = status.filter(|s| !(200..=599).contains(s)) {
            self.say(
                &["faults", index, "do", act, "status"],
                format!("{status} is not the status of an answer"),
                "a status code lies between 200 and 599",
            );
        }
    }

    /// A mutation that could change nothing whatever comes.
    fn drift(&mut self, index: &str, mutation: &Mutation) {
        let path = ["faults", index, "do", "drift", mutation.word()];
        let whole = mutation.field().is_some_and(|f| f.is_whole());
        match mutation {
            Mutation::ToList(_) | Mutation::ToSingle(_) | Mutation::Systematic(_) | Mutation::Set(_) => {}
            Mutation::EmptyList(_) | Mutation::CutList(_) | Mutation::Nullify(_) | Mutation::ToObject(_) => {}
            _ if whole => self.say(
                &path,
                format!("`{}` acts on a field, and this is the body as a whole", mutation.word()),
                "write the field's path from the top of the body, such as `/properties/amount`",
            ),
            _ => {}
        }
        let empty = match mutation {
            Mutation::Rename(rename) => rename.to.is_empty(),
            Mutation::Wrap(name) | Mutation::ContentType(name) => name.is_empty(),
            _ => false,
        };
        if empty {
            self.say(&path, format!("`{}` needs a name", mutation.word()), "write one");
        }
    }

    /// Faults that last need to know from when to when.
    fn window(&mut self, index: &str, rule: &Rule, kind: Kind, word: &str) {
        let of_subject = kind == Kind::Subject;
        let lasts = matches!(rule.act, Act::Burst)
            || rule.act.points().contains(&Point::Connect)
            || (of_subject && matches!(rule.act, Act::ClockSkew(_)));
        let starts = of_subject && matches!(rule.act, Act::Kill(_) | Act::Stop(_) | Act::Pause(_));
        match rule.window {
            None if lasts => self.say(
                &["faults", index, "do"],
                format!("`{word}` lasts for the window of its rule, and this rule has none"),
                "add when it begins and ends, such as `window: 30s..5m`",
            ),
            None if starts => self.say(
                &["faults", index, "do"],
                format!("`{word}` on the subject happens when the window of its rule opens, and this rule has none"),
                "add `window: 30s..`",
            ),
            _ => {}
        }
    }

    /// Conditions on a request make no sense where no request is there to be looked at.
    fn no_request_to_look_at(&mut self, index: &str, rule: &Rule, kind: Kind, word: &str) {
        let connection = rule.act.points().contains(&Point::Connect);
        let why = match kind {
            Kind::Subject => "a rule on the subject bites once, when its window opens".to_owned(),
            _ if connection => format!("`{word}` acts on connections, before any request is read"),
            _ => return,
        };
        for (key, set) in [
            ("attempts", rule.attempts.is_some()),
            ("calls", rule.calls.is_some()),
            ("share", rule.share.is_some()),
            ("when", rule.when.is_some()),
        ] {
            if set {
                self.say_of_key(
                    &["faults", index, key],
                    format!("`{key}` means nothing here: {why}"),
                    "remove it; `window` says when",
                );
            }
        }
        if let Target::Calls { vendor, method, path } = &rule.on
            && (method.is_some() || path.is_some())
        {
            self.say(
                &["faults", index, "on"],
                format!("{why}, so it cannot choose an operation"),
                format!("write `on: {vendor}`"),
            );
        }
    }

    /// Whether the operation or event type of a target exists.
    fn names_something(&mut self, path: &[&str], target: &Target) {
        let Some(facts) = target.vendor().and_then(|v| self.facts.get(v)) else { return };
        match target {
            Target::Calls { vendor, method, path: Some(called) } => {
                let known = facts.operations.iter().any(|operation| {
                    let (m, p) = operation.split_once(' ').unwrap_or(("", operation));
                    method.as_deref().is_none_or(|wanted| wanted == m) && may_meet(called, p)
                });
                if !known {
                    let asked = match method {
                        Some(method) => format!("{method} {called}"),
                        None => called.clone(),
                    };
                    let help = advice(&asked, &facts.operations, "operations");
                    self.say(path, format!("`{vendor}` has no operation `{asked}`"), help);
                }
            }
            Target::Webhook { vendor, event: Some(event) } if !facts.events.contains(event) => {
                let help = advice(event, &facts.events, "events");
                self.say(path, format!("`{vendor}` sends no event of type `{event}`"), help);
            }
            _ => {}
        }
    }

    /// An expression on one record of the collection `of`, as a value or as a key.
    fn of_record(&mut self, path: &[&str], of_key: bool, of: &str, expr: Option<&Expr>) {
        let facts = self.facts;
        let one = of.split_once('.').and_then(|(alias, name)| facts.get(alias)?.collections.get(name));
        if let (Some(one), Some(expr)) = (one, expr) {
            for (message, help) in unknown_variables(expr, &[one]) {
                if of_key { self.say_of_key(path, message, help) } else { self.say(path, message, help) }
            }
        }
    }

    fn variables(&mut self, path: &[&str], expr: &Expr, known: &[&str]) {
        for (message, help) in unknown_variables(expr, known) {
            self.say(path, message, help);
        }
    }
}

/// The variables of `expr` that do not exist, each as a message with its help.
fn unknown_variables(expr: &Expr, known: &[&str]) -> Vec<(String, String)> {
    let bound = bound_by_macros(expr.source());
    let unknown = |name: &String| !known.contains(&name.as_str()) && !bound.contains(&name.as_str());
    let names = expr.variables().into_iter().filter(unknown);
    names
        .map(|name| (format!("there is no variable `{name}` here"), advice(&name, known, "variables")))
        .collect()
}
