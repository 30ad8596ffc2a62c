//! The bundled Stripe vendor, and our description of it, held against what Stripe itself publishes:
//! its OpenAPI description and its sample objects of September 2023.
//!
//! The vendor plays version 2025-08-27.basil, Stripe's description is of 2023-08-16: what changed
//! between them is listed here with its reason, and nothing else may differ, nor may a listed
//! difference have gone. The data is no part of the project. Without it (`../shared/data`, or
//! `FIREDRILL_SHARED_DATA`) each test says so and is counted as ignored.

mod data;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use firedrill::contract::{Checked, Contract, Direction};
use firedrill::seed::Seed;
use firedrill::time::{At, Span};
use firedrill::vendor::{self, Vendor, VendorFile};
use firedrill::wire::{Headers, Request, Response};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;

/// A fact about the folder of Stripe's data.
type Fact = fn(&Path) -> Result<(), Failed>;

const FACTS: [(&str, Fact); 2] = [
    ("the_bundled_stripe_answers_as_stripes_own_description_says", answers),
    ("stripes_own_samples_fit_our_description", samples),
];

/// What the vendor answers otherwise than Stripe's description of 2023, and why.
const LATER: [(&str, &str); 5] = [
    ("/paid", "removed in 2025-03-31.basil: `status` says it"),
    ("/paid_out_of_band", "removed in 2025-03-31.basil, with the payments of an invoice"),
    ("/total_tax_amounts", "renamed to `total_taxes` in 2025-03-31.basil"),
    ("/lines/data/*/proration", "moved under `parent` in 2025-03-31.basil"),
    ("/lines/data/*/type", "moved to `parent.type` in 2025-03-31.basil"),
];

/// What Stripe's samples of 2023 lack of our description, and why.
const EARLIER: [(&str, &str, &str); 1] = [("invoice", "/issuer", "`issuer` was added after it")];

fn main() -> ExitCode {
    let trials = FACTS.into_iter().map(|(name, fact)| {
        Trial::ignorable_test(name, move || match data::shared("stripe") {
            Err(absent) => Ok(Completion::ignored_with(absent)),
            Ok(folder) => fact(&folder).map(|()| Completion::Completed),
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Stripe, as firedrill plays it, with every exchange held against Stripe's own description.
struct Desk {
    vendor: Box<dyn Vendor>,
    official: Contract,
    now: At,
    exchanges: usize,
    differences: BTreeMap<String, BTreeSet<String>>,
}

impl Desk {
    fn send(&mut self, line: &str, form: &str) -> Result<Value, Failed> {
        let (method, target) = line.split_once(' ').ok_or("a method and a target")?;
        let key = self.vendor.credentials().remove("api_key").ok_or("a key")?;
        let mut headers = Headers::of([("authorization", format!("Bearer {key}"))]);
        if method == "POST" {
            headers.set("content-type", "application/x-www-form-urlencoded");
        }
        let request = Request {
            method: method.into(),
            target: target.to_owned(),
            headers,
            body: form.to_owned().into(),
        };
        self.now = self.now + Span::secs(1);
        let response = self.vendor.step(self.now, &request, Span::ZERO).response.ok_or("an answer")?;
        self.judge(line, &request, &response)?;
        Ok(serde_json::from_slice(&response.body)?)
    }

    fn judge(&mut self, line: &str, request: &Request, response: &Response) -> Result<(), Failed> {
        self.exchanges += 1;
        let operation =
            self.official.find(&request.method, &request.target).map_err(|e| e.to_string())?.operation;
        let sent = self.official.check_request(operation, request);
        if response.is_success() && sent.breaking().next().is_some() {
            return Err(
                format!("{line} was taken, and Stripe's own description refuses it: {sent:#?}").into()
            );
        }
        let answered = self.official.check_response(operation, response);
        for violation in answered.breaking() {
            let place = violation.wild.strip_prefix("/data/*").unwrap_or(&violation.wild).to_owned();
            let what = format!("{} {line}: expected {}", violation.rule, violation.expected);
            self.differences.entry(place).or_default().insert(what);
        }
        Ok(())
    }
}

fn answers(folder: &Path) -> Result<(), Failed> {
    let file = VendorFile::load("stripe", None, &Value::Null).map_err(|m| m.to_string())?;
    let vendor = vendor::open(&Arc::new(file), "2026-03-02T09:00:00Z".parse()?, Seed(1));
    let official = Contract::load(&folder.join("spec3-2023-09-12.json")).map_err(|e| e.to_string())?;
    let mut desk = Desk { vendor, official, now: At(0), exchanges: 0, differences: BTreeMap::new() };
    let id = |value: &Value| value["id"].as_str().unwrap_or_default().to_owned();

    let address =
        "name=Ada&email=ada%40example.com&address[city]=London&metadata[deal_id]=7&preferred_locales[0]=en";
    let customer = id(&desk.send("POST /v1/customers", address)?);
    desk.send(&format!("POST /v1/customers/{customer}"), "tax_exempt=exempt&description=first")?;
    desk.send(&format!("GET /v1/customers/{customer}"), "")?;
    desk.send("GET /v1/customers?email=ada%40example.com&limit=3&created[gte]=1", "")?;
    desk.send("GET /v1/customers/search?query=email%3A%27ada%40example.com%27", "")?;
    for how in ["finalize", "pay", "void"] {
        let draft = format!(
            "customer={customer}&collection_method=send_invoice&days_until_due=30&auto_advance=false&currency=eur\
             &pending_invoice_items_behavior=exclude&metadata[deal_id]=7"
        );
        let invoice = id(&desk.send("POST /v1/invoices", &draft)?);
        let item =
            format!("customer={customer}&invoice={invoice}&amount=1250&currency=eur&description=Bikes");
        let item = id(&desk.send("POST /v1/invoiceitems", &item)?);
        desk.send(&format!("POST /v1/invoiceitems/{item}"), "quantity=1&description=Bicycles")?;
        desk.send(&format!("GET /v1/invoiceitems/{item}"), "")?;
        desk.send(&format!("GET /v1/invoiceitems?invoice={invoice}"), "")?;
        desk.send(&format!("POST /v1/invoices/{invoice}"), "footer=Thanks&metadata[more]=1")?;
        desk.send(&format!("POST /v1/invoices/{invoice}/finalize"), "auto_advance=false")?;
        if how != "finalize" {
            desk.send(&format!("POST /v1/invoices/{invoice}/{how}"), "")?;
        }
        desk.send(&format!("GET /v1/invoices/{invoice}"), "")?;
        // What cannot be done any more is an error in Stripe's dialect.
        desk.send(&format!("POST /v1/invoices/{invoice}/finalize"), "")?;
        desk.send(&format!("DELETE /v1/invoices/{invoice}"), "")?;
    }
    let draft = id(&desk.send("POST /v1/invoices", &format!("customer={customer}"))?);
    desk.send("GET /v1/invoices?limit=2&status=open", "")?;
    desk.send("GET /v1/invoices/search?query=status%3A%27paid%27&limit=1", "")?;
    desk.send(&format!("DELETE /v1/invoices/{draft}"), "")?;
    let item =
        id(&desk.send("POST /v1/invoiceitems", &format!("customer={customer}&amount=1&currency=usd"))?);
    desk.send(&format!("DELETE /v1/invoiceitems/{item}"), "")?;
    desk.send(&format!("DELETE /v1/customers/{customer}"), "")?;
    desk.send(&format!("GET /v1/customers/{customer}"), "")?;
    for (line, form) in [
        ("GET /v1/customers/cus_nobody", ""),
        ("POST /v1/invoices", "customer=cus_nobody"),
        ("POST /v1/invoices", "nonsense=1"),
        ("POST /v1/invoiceitems", "amount=12.50"),
        ("GET /v1/invoices?limit=1000", ""),
    ] {
        let answer = desk.send(line, form)?;
        if answer["error"]["type"] != "invalid_request_error" {
            return Err(format!("{line} {form}: {answer}").into());
        }
    }

    let explained: BTreeSet<&str> = LATER.iter().map(|(place, _)| *place).collect();
    let found: BTreeSet<&str> = desk.differences.keys().map(String::as_str).collect();
    if desk.exchanges < 50 || found != explained {
        return Err(format!(
            "{} exchanges; differences {:#?}; explained are {explained:?}",
            desk.exchanges, desk.differences
        )
        .into());
    }
    Ok(())
}

/// The sample objects that our description has a schema of, by the name of both.
const SAMPLES: [&str; 6] =
    ["customer", "deleted_customer", "deleted_invoice", "deleted_invoiceitem", "invoice", "invoiceitem"];

fn samples(folder: &Path) -> Result<(), Failed> {
    let file = VendorFile::load("stripe", None, &Value::Null).map_err(|m| m.to_string())?;
    let ours = file.profile().contract.clone().ok_or("our description")?;
    let samples: Value = serde_json::from_slice(&std::fs::read(folder.join("fixtures3-2023-09-12.json"))?)?;
    let mut differences = BTreeSet::new();
    for name in SAMPLES {
        let sample = samples["resources"].get(name).ok_or_else(|| format!("no sample of `{name}`"))?;
        let said: Checked =
            ours.check_value_at(&format!("/components/schemas/{name}"), Direction::Response, sample);
        differences.extend(said.breaking().map(|v| (name, v.wild.clone())));
    }
    let explained: BTreeSet<(&str, String)> =
        EARLIER.iter().map(|(name, place, _)| (*name, (*place).to_owned())).collect();
    if differences == explained {
        return Ok(());
    }
    Err(format!("differences {differences:?}; explained are {explained:?}").into())
}
