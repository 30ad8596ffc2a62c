//! Stripe's own description at three dates, compared; values drawn from the contracts of real
//! vendors; drills over generated records.
//!
//! The descriptions of others are no part of the project. Without them (`../shared/data`, or
//! `FIREDRILL_SHARED_DATA`) each test that needs them says so and is counted as ignored.

mod data;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use data::shared;
use firedrill::contract::diff::{Change, Diff, Severity, diff};
use firedrill::contract::{Contract, Direction, generate};
use firedrill::drill::{self, Plan};
use firedrill::finding::Verdict;
use firedrill::seed::Seed;
use firedrill::subject::bundled::Bundled;
use firedrill::{casting, plan};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

type Fact = fn() -> Result<(), Failed>;

/// Facts that need a file of the shared data.
const OF_OTHERS: [(&str, &str, Fact); 4] = [
    ("stripe_of_2022_differs_little_from_2021", "stripe/spec3-2021-12-31.json", little),
    ("stripe_of_2023_breaks_what_is_known_to_have_broken", "stripe/spec3-2022-04-13.json", much),
    ("values_drawn_from_stripe_fit_their_schemas", "stripe/spec3-2023-09-12.json", stripe_values),
    ("values_drawn_from_github_fit_their_schemas", "github/api.github.com.json", github_values),
];

const OURS: [(&str, Fact); 6] = [
    ("the_exit_code_of_diff_says_how_bad_it_is", exit_codes),
    ("only_operations_that_are_used_are_compared_when_asked", only_used),
    ("nine_in_ten_values_drawn_from_the_bundled_contracts_fit_at_once", bundled_values),
    ("the_sound_core_loses_no_generated_deal_under_ten_seeds", sound),
    ("generated_deals_repeat_under_their_seed_and_differ_under_another", repeats),
    ("a_drill_inside_a_proptest_shrinks_to_the_least_deal_that_breaks_it", shrinks),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let others = OF_OTHERS.into_iter().map(|(name, file, fact)| {
        Trial::ignorable_test(name, move || match shared(file) {
            Err(absent) => Ok(Completion::ignored_with(absent)),
            Ok(_) => fact().map(|()| Completion::Completed),
        })
    });
    let ours = OURS.into_iter().map(|(name, fact)| Trial::test(name, fact));
    libtest_mimic::run(&arguments, others.chain(ours).collect()).exit_code()
}

fn stripe(date: &str) -> Result<Contract, Failed> {
    Ok(Contract::load(&shared(&format!("stripe/spec3-{date}.json"))?)?)
}

/// The one change of this rule at this place of the old document.
fn change<'d>(diff: &'d Diff, rule: &str, old: &str) -> Result<&'d Change, Failed> {
    let mut at = diff.changes.iter().filter(|c| c.rule == rule && &*c.old == old);
    match (at.next(), at.next()) {
        (Some(change), None) => Ok(change),
        (None, _) => Err(format!("no {rule} at {old}").into()),
        _ => Err(format!("more than one {rule} at {old}").into()),
    }
}

fn count(diff: &Diff, rule: &str) -> usize {
    diff.changes.iter().filter(|c| c.rule == rule).count()
}

/// What was looked up in both files by hand: no operation went, 26 came; two fields of the billing
/// portal's business profile became optional and nullable; payment methods got three types.
fn little() -> Result<(), Failed> {
    let (old, new) = (stripe("2021-12-31")?, stripe("2022-04-13")?);
    let found = diff(&old, &new);
    assert_eq!(count(&found, "operation/removed"), 0);
    assert_eq!(count(&found, "operation/added"), 26);
    assert_eq!(found.count(Severity::Breaking), 4, "{:#?}", found.changes[0]);
    let profile = "#/components/schemas/portal_business_profile";
    for field in ["privacy_policy_url", "terms_of_service_url"] {
        let null = change(&found, "response/became_nullable", &format!("{profile}/properties/{field}"))?;
        assert_eq!(null.operations.len(), 5);
        let place = format!("200 application/json /data/*/business_profile/{field}");
        assert_eq!(null.place, place);
    }
    assert_eq!(count(&found, "response/property_became_optional"), 2);
    let methods = "#/components/schemas/payment_method/properties/type";
    let added = change(&found, "response/enum_value_added", methods)?;
    assert_eq!(added.message, r#"`type` may also be `"konbini"`, `"paynow"`, `"us_bank_account"`"#);
    assert!(added.operations.len() > 300, "{}", added.operations.len());
    assert_eq!(diff(&old, &old), Diff::default());
    Ok(())
}

/// Known to those who had to move (API version 2022-11-15): `charges` left the payment intent, and
/// `refunds` is no longer in every charge. 51 operations went (orders, SKUs, recipients, 3-D Secure
/// 1, Bitcoin, the singular account), 103 came.
fn much() -> Result<(), Failed> {
    let (old, new) = (stripe("2022-04-13")?, stripe("2023-09-12")?);
    let found = diff(&old, &new);
    assert_eq!(count(&found, "operation/removed"), 51);
    assert_eq!(count(&found, "operation/added"), 103);
    let schemas = "#/components/schemas";
    change(&found, "response/became_nullable", &format!("{schemas}/charge/properties/refunds"))?;
    let optional = found.changes.iter().filter(|c| c.rule == "response/property_became_optional");
    let refunds: Vec<_> = optional.filter(|c| *c.old == *format!("{schemas}/charge")).collect();
    assert_eq!(refunds.len(), 1);
    assert_eq!(refunds[0].message, "`refunds` may be missing (was required)");
    let charges = format!("{schemas}/payment_intent/properties/charges");
    change(&found, "response/optional_property_removed", &charges)?;
    // Text until then; text or an object from then on.
    let application = format!("{schemas}/billing_portal.configuration/properties/application");
    let widened = found.changes.iter().filter(|c| c.rule == "response/type_widened");
    assert_eq!(widened.filter(|c| *c.old == *application).count(), 2);
    Ok(())
}

/// Draws values of up to `most` schemas of a contract's answers: how many fit, of how many.
fn drawn(contract: Contract, most: usize) -> Result<(usize, usize), Failed> {
    let contract = Arc::new(contract);
    let mut schemas: Vec<String> = Vec::new();
    for operation in contract.operations() {
        let content = operation.answer(200).or_else(|| operation.answer(201)).map(|a| a.content.as_slice());
        let json = content.unwrap_or_default().iter().find(|m| m.range.contains("json"));
        schemas.extend(json.and_then(|m| m.schema.clone()));
    }
    let step = schemas.len().div_ceil(most).max(1);
    let (mut fit, mut all) = (0, 0);
    for schema in schemas.iter().step_by(step) {
        let values = generate::unchecked(&contract, schema, Direction::Response)?;
        for n in 0..8u8 {
            let value = generate::draw(&values, [n; 32]).ok_or("nothing was drawn")?;
            let fits = contract.fits(schema, Direction::Response, &value)?;
            if !fits {
                let checked = contract.check_value_at(schema, Direction::Response, &value);
                eprintln!(
                    "{schema}: {:?}",
                    checked.violations.first().map(|v| (&v.pointer, &v.expected, &v.got))
                );
            }
            (fit, all) = (fit + usize::from(fits), all + 1);
        }
    }
    Ok((fit, all))
}

fn bundled_values() -> Result<(), Failed> {
    for vendor in ["hubspot", "stripe", "github"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts").join(vendor);
        let contract = Contract::of_folder(&folder)?.ok_or("it has no description")?;
        let (fit, all) = drawn(contract, 40)?;
        // A schema of `if` and `then` alone cannot be built, only drawn until it fits.
        assert!(fit * 10 >= all * 9, "{vendor}: {fit} of {all}");
        assert!(all >= 8, "{vendor}: {all}");
    }
    Ok(())
}

fn stripe_values() -> Result<(), Failed> {
    let (fit, all) = drawn(stripe("2023-09-12")?, 12)?;
    assert_eq!(fit, all);
    Ok(())
}

fn github_values() -> Result<(), Failed> {
    let (fit, all) = drawn(Contract::load(&shared("github/api.github.com.json")?)?, 12)?;
    assert_eq!(fit, all);
    Ok(())
}

fn generated() -> Plan {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let contracts = here.join("../contracts");
    let facts = |vendor: &_| casting::facts(vendor, &contracts).map(Some);
    let file = here.join("../scenarios/reconciliation/generated_deals_are_invoiced.yaml");
    let drills = plan::load(&[file], &facts).expect("the drill can be read");
    casting::plan(&drills[0], &contracts).expect("its vendors can be read")
}

fn sound() -> Result<(), Failed> {
    let plan = generated();
    for seed in 1..=10 {
        let drilled = drill::run(&plan, Seed(seed), &Bundled::sound())?;
        let worst: Vec<_> = drilled.judgements.iter().filter(|j| j.verdict != Verdict::Pass).collect();
        assert_eq!(drilled.verdict, Verdict::Pass, "seed {seed}: {worst:#?}");
    }
    Ok(())
}

fn bytes(plan: &Plan, seed: u64) -> Result<Vec<u8>, Failed> {
    let mut bytes = Vec::new();
    drill::run(plan, Seed(seed), &Bundled::sound())?.trace.write_jsonl(&mut bytes)?;
    Ok(bytes)
}

fn repeats() -> Result<(), Failed> {
    let plan = generated();
    let first = bytes(&plan, 4)?;
    assert!(bytes(&plan, 4)? == first);
    assert!(bytes(&plan, 5)? != first);
    let text = String::from_utf8_lossy(&first);
    assert!(["JPY", "KWD", "USD"].iter().all(|currency| text.contains(currency)));
    Ok(())
}

/// The planted bug: amounts through floats. The least deal that shows it is found.
fn shrinks() -> Result<(), Failed> {
    let plan = std::cell::RefCell::new(generated());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/hubspot");
    let contract = Arc::new(Contract::of_folder(&folder)?.ok_or("it has no description")?);
    let schema = "/components/schemas/Properties";
    let money = (
        generate::field(&contract, schema, &["amount"], Direction::Response)?,
        generate::field(&contract, schema, &["deal_currency_code"], Direction::Response)?,
    );
    let deal = money.prop_map(|(amount, currency)| {
        let mut deal = serde_json::json!({ "amount": amount, "currency": currency });
        generate::settle(&mut deal);
        deal
    });
    let deals = proptest::collection::vec(deal, 1..6);
    let config = Config { failure_persistence: None, cases: 64, max_shrink_iters: 200, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let defect = firedrill::prove::defects().into_iter().find(|d| d.name == "amount_through_floats");
    let defect = defect.ok_or("there is no such defect")?;
    let subject = Bundled::with_defect(defect.name, defect.plant);
    let failure = runner.run(&deals, |deals| {
        let mut given = generate::given(&deals, &["amount", "currency"]);
        for (from, to) in [("amount", "properties.amount"), ("currency", "properties.deal_currency_code")] {
            if let Some(values) = given.each.remove(from) {
                given.each.insert(to.to_owned(), values);
            }
        }
        let mut plan = plan.borrow_mut();
        plan.scenario.given.insert("crm.deals".to_owned(), given);
        let drilled = drill::run(&plan, Seed(1), &subject).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert!(drilled.verdict != Verdict::Fail);
        Ok(())
    });
    match failure {
        Err(proptest::test_runner::TestError::Fail(_, least)) => {
            assert_eq!(least.len(), 1, "{least:?}");
            Ok(())
        }
        other => Err(format!("the defect was not caught: {other:?}").into()),
    }
}

/// What `firedrill diff` prints, and its exit code.
fn command(words: &[&str]) -> Result<(i32, String, String), Failed> {
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_firedrill")).arg("diff").args(words).output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((out.status.code().ok_or("killed")?, text(out.stdout), text(out.stderr)))
}

fn exit_codes() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, schema: &str| -> Result<String, Failed> {
        let file = folder.path().join(name);
        let text = format!(
            "openapi: 3.0.3\ninfo: {{ title: t, version: {name} }}\npaths:\n  /deals:\n    get:\n      responses:\n        \
             '200': {{ description: d, content: {{ application/json: {{ schema: {schema} }} }} }}\n"
        );
        std::fs::write(&file, text)?;
        Ok(file.display().to_string())
    };
    let base = write("base.yaml", "{ type: string, enum: [a] }")?;
    let risky = write("risky.yaml", "{ type: string, enum: [a, b] }")?;
    let breaking = write("breaking.yaml", "{ type: integer }")?;
    let unknown = write("unknown.yaml", "{ type: string, enum: [a], pattern: a }")?;
    let other = write("other.yaml", "{ type: string, enum: [a], pattern: b }")?;
    assert_eq!(command(&[&base, &base])?.0, 0);
    assert_eq!(command(&[&base, &risky])?.0, 0);
    assert_eq!(command(&[&base, &risky, "--fail-on", "risky"])?.0, 1);
    let (code, out, _) = command(&[&base, &breaking])?;
    assert_eq!(code, 1);
    assert!(out.contains("BREAKING  1 change") && out.contains("response/type_changed"), "{out}");
    assert!(out.contains("#/paths/~1deals/get/responses/200/content/application~1json/schema"), "{out}");
    assert_eq!(command(&[&unknown, &other])?.0, 2);
    let (code, out, _) = command(&[&base, &breaking, "--format", "json"])?;
    assert_eq!(code, 1);
    let read: serde_json::Value = serde_json::from_str(&out)?;
    assert_eq!(read["summary"]["breaking"], 1);
    assert_eq!(read["changes"][0]["operations"][0], "GET /deals");
    std::fs::write(folder.path().join("swagger.json"), r#"{"swagger": "2.0", "paths": {}}"#)?;
    let swagger = folder.path().join("swagger.json").display().to_string();
    let (code, out, err) = command(&[&base, &swagger])?;
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(err.contains("Swagger 2.0"), "{err}");
    assert_eq!(command(&[&base, "nowhere.yaml"])?.0, 64);
    Ok(())
}

fn only_used() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, text: &str| -> Result<String, Failed> {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().ok_or("a folder")?)?;
        std::fs::write(&file, text)?;
        Ok(file.display().to_string())
    };
    let described = |kind: &str| {
        let get = format!(
            "get: {{ responses: {{ '200': {{ description: d, content: {{ application/json: {{ schema: {{ type: {kind} }} }} }} }} }} }}"
        );
        format!(
            "openapi: 3.0.3\ninfo: {{ title: t, version: '1' }}\npaths:\n  /a: {{ {get} }}\n  /b: {{ {get} }}\n"
        )
    };
    let (old, new) = (write("old.yaml", &described("string"))?, write("new.yaml", &described("integer"))?);
    let run = r#"{"origin": "t", "recorded": "2024-01-01", "exchanges": [
        {"request": {"method": "GET", "target": "/a"}, "response": {"status": 200}}]}"#;
    write("runs/one.json", run)?;
    let runs = folder.path().join("runs").display().to_string();
    let (code, out, err) = command(&[&old, &new, "--only-used", &runs])?;
    assert_eq!(code, 1, "{err}");
    assert!(out.contains("BREAKING  1 change") && !out.contains("GET /b"), "{out}");
    assert!(out.contains("the 1 of 2 operations that are used"), "{out}");
    // A trace tells as well as a recording.
    let line = r#"{"at":1,"kind":"request","call":0,"vendor":"v","request":{"method":"GET","target":"/b?x=1","headers":[],"body":""}}"#;
    write("runs/two.jsonl", &format!("{{\"drill\":\"d\"}}\n{line}\n"))?;
    let (_, out, _) = command(&[&old, &new, "--only-used", &runs, "--format", "json"])?;
    let read: serde_json::Value = serde_json::from_str(&out)?;
    assert_eq!((&read["operations"]["used"], &read["summary"]["breaking"]), (&2.into(), &2.into()));
    // What is not there, or calls nothing that is described, is no clean comparison.
    write("strange/one.json", &run.replace("/a", "/z"))?;
    let strange = folder.path().join("strange").display().to_string();
    let (code, _, err) = command(&[&old, &new, "--only-used", &strange])?;
    assert_eq!(code, 64);
    assert!(err.contains("no operation of") && err.contains("nothing would be compared"), "{err}");
    assert_eq!(command(&[&old, &new, "--only-used", "nowhere"])?.0, 64);
    write("strange/two.jsonl", "{\"kind\": 7")?;
    let (code, _, err) = command(&[&old, &new, "--only-used", &strange])?;
    assert!(code == 64 && err.contains("two.jsonl:1:"), "{err}");
    Ok(())
}
