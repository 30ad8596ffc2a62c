//! Ledgers that part in every way, and what is said of each.

use crate::check::testing::*;
use crate::scenario::Scenario;
use crate::trace::ChangeKind::{Created, Deleted, Given, Updated};
use serde_json::{Value, json};

fn agree(more: &str) -> Scenario {
    scenario(&format!(
        "agree: {{ from: crm.deals, where: 'deal.won', to: billing.invoices, key: invoice.deal, \
         live: 'invoice.status != \"void\"', fields: {{ invoice.cents: 'minor_units(deal.amount, \"usd\")' }}{more} }}\n  \
         converges: {{ within: 10m }}"
    ))
}

fn deal(won: bool, amount: &str) -> Value {
    json!({ "id": "d1", "won": won, "amount": amount })
}

fn invoice(id: &str, cents: u64) -> Value {
    json!({ "id": id, "deal": "d1", "cents": cents, "status": "open" })
}

fn won() -> Builder {
    drill().change(0, "crm.deals", Given, deal(false, "12.30"), None).change(
        1_000,
        "crm.deals",
        Updated,
        deal(true, "12.30"),
        None,
    )
}

fn invoiced() -> Builder {
    won().change(2_000, "billing.invoices", Created, invoice("i1", 1230), Some(0))
}

#[test]
fn one_agreeing_effect_is_sound() {
    invoiced().passes(&agree(""), "reconciliation");
}

#[test]
fn a_missing_effect_is_found() {
    won().fails(&agree(""), "reconciliation/missing");
}

#[test]
fn what_is_missing_says_what_came_after_the_change() {
    let said = |drill: Builder| {
        let judged = super::super::judge(&agree(""), &profiles(), &drill.build());
        let findings = judged.into_iter().flat_map(|j| j.findings);
        findings.filter(|f| &*f.rule == "reconciliation/missing").map(|f| f.message).collect::<String>()
    };
    let asked = |line: &str| call("crm", line, 5_000);
    assert!(said(won()).ends_with("crm was never asked after its change at 1s"), "{}", said(won()));
    let told = said(won().emitted(1_000, "e1", "d1").delivery(1_100, &["e1"], 200, 10));
    assert!(told.ends_with("acknowledged at 1.11s, and no call followed"), "{told}");
    let refused = said(won().emitted(1_000, "e1", "d1").delivery(1_100, &["e1"], 500, 10));
    assert!(refused.ends_with("crm was never asked after its change at 1s"), "{refused}");
    let overlooked = said(won().call(asked("GET /deals")));
    assert!(overlooked.ends_with("though crm was asked until 5s"), "{overlooked}");
    let seen = said(won().call(asked("GET /deals/d1")));
    assert!(seen.ends_with("was not set aside"), "{seen}");
}

#[test]
fn set_aside_is_accepted_only_where_allowed_and_with_a_reason() {
    let with = |body: &str| won().exposed("quarantine", body);
    with(r#"[{"id":"d1","reason":"bad amount"}]"#).passes(&agree(", may_set_aside: true"), "reconciliation");
    with(r#"[{"id":"d1"}]"#).fails(&agree(", may_set_aside: true"), "reconciliation/set_aside");
    with(r#"[{"id":"d1","reason":"bad"}]"#).fails(&agree(""), "reconciliation/set_aside");
    with(r#"[{"id":"d2","reason":"bad"}]"#).fails(&agree(", may_set_aside: true"), "reconciliation/missing");
}

#[test]
fn a_second_effect_a_wrong_field_and_an_unwanted_effect_are_found() {
    invoiced()
        .change(3_000, "billing.invoices", Created, invoice("i2", 1230), Some(0))
        .fails(&agree(""), "reconciliation/doubled");
    won()
        .change(2_000, "billing.invoices", Created, invoice("i1", 1229), Some(0))
        .fails(&agree(""), "reconciliation/differs");
    invoiced()
        .change(3_000, "crm.deals", Deleted, deal(true, "12.30"), None)
        .fails(&agree(""), "reconciliation/unwanted");
}

#[test]
fn a_record_that_cannot_be_judged_is_named() {
    drill()
        .change(0, "crm.deals", Given, json!({ "id": "d1" }), None)
        .unknown(&agree(""), "reconciliation/unclear");
    drill()
        .change(0, "crm.deals", Given, deal(true, "1"), None)
        .change(5, "crm.deals", Updated, json!({ "id": "d1" }), Some(0))
        .fails(&agree(""), "reconciliation/unclear");
    invoiced()
        .change(3_000, "crm.deals", Updated, deal(true, "1.005"), None)
        .unknown(&agree(""), "reconciliation/unclear");
    invoiced()
        .change(3_000, "billing.invoices", Created, json!({ "id": "i9", "status": "open" }), Some(0))
        .fails(&agree(""), "reconciliation/orphan");
}

#[test]
fn agreement_after_the_promised_time_is_late() {
    won()
        .change(3_600_000 + 601_000, "billing.invoices", Created, invoice("i1", 1230), Some(0))
        .fails(&agree(""), "reconciliation/late");
    won()
        .change(3_600_000 + 599_000, "billing.invoices", Created, invoice("i1", 1230), Some(0))
        .passes(&agree(""), "reconciliation");
}

#[test]
fn an_older_state_over_a_newer_one_is_found_even_if_repaired() {
    let amended = || invoiced().change(3_000, "crm.deals", Updated, deal(true, "99.00"), None);
    let write =
        |b: Builder, at, cents| b.change(at, "billing.invoices", Updated, invoice("i1", cents), Some(0));
    let newer = || write(amended(), 4_000, 9900);
    newer().passes(&agree(""), "reconciliation");
    write(write(newer(), 5_000, 1230), 6_000, 9900).fails(&agree(""), "reconciliation/stale_overwrite");
    // Back to an old value because the source went back to it is no overwrite.
    write(newer().change(5_000, "crm.deals", Updated, deal(true, "12.30"), None), 6_000, 1230)
        .passes(&agree(""), "reconciliation");
}

#[test]
fn a_repair_of_the_wrong_side_is_found() {
    invoiced()
        .change(3_000, "crm.deals", Updated, deal(true, "99.00"), None)
        .change(4_000, "crm.deals", Updated, deal(true, "12.30"), Some(0))
        .fails(&agree(""), "reconciliation/source_overwritten");
}

#[test]
fn a_persons_own_is_told_in_outline_and_money_ids_and_states_as_they_are() {
    let terms = |field: &str| {
        scenario(&format!(
            "agree: {{ from: crm.deals, where: 'deal.won', to: billing.invoices, key: invoice.deal, fields: {{ \
             'invoice.{field}': 'deal.{field}' }} }}\n  converges: {{ within: 10m }}"
        ))
    };
    let said = |field: &str, was: Value, is: Value| {
        let deal = json!({ "id": "d1", "won": true, field: was });
        let invoice = json!({ "id": "i1", "deal": "d1", field: is });
        let drill = drill().change(0, "crm.deals", Given, deal, None);
        let drill = drill.change(2_000, "billing.invoices", Created, invoice, Some(0)).build();
        let judged = super::super::judge(&terms(field), &profiles(), &drill);
        let found =
            judged.into_iter().flat_map(|j| j.findings).find(|f| &*f.rule == "reconciliation/differs");
        let found = found.expect("the ledgers differ");
        let message = found.message.split(": the webhook").next().unwrap_or_default().to_owned();
        format!("{}; {}", message.split(": crm").next().unwrap_or_default(), found.expected)
    };
    let mail = r#""‹e-mail address, 18 characters›""#;
    let name = r#""‹5 characters: Aaaaa›""#;
    for (field, was, is, told) in [
        ("email", json!("ap@contoso-ag.info"), json!("bo@contoso-ag.info"), [mail, "another: ", mail]),
        (
            "note",
            json!("write to ap@contoso-ag.info"),
            json!(""),
            ["\"\"", "", r#""write to ‹e-mail address, 18 characters›""#],
        ),
        ("last_name", json!("Smith"), json!("Smyth"), [name, "another: ", name]),
        (
            "account",
            json!("DE89370400440532013000"),
            json!("none"),
            ["\"none\"", "", r#""‹IBAN, 22 characters›""#],
        ),
        ("api_key", json!("abc"), json!("abd"), ["REDACTED", "another: ", "REDACTED"]),
        ("amount_due", json!(125_000), json!(124_999), ["124999", "", "125000"]),
        ("customer", json!("cus_NffrFeUfNV2Hib"), json!(null), ["null", "", "\"cus_NffrFeUfNV2Hib\""]),
        ("status", json!("paid"), json!("open"), ["\"open\"", "", "\"paid\""]),
        (
            "due",
            json!("2026-03-02T09:00:00Z"),
            json!("2026-03-02"),
            ["\"2026-03-02\"", "", "\"2026-03-02T09:00:00Z\""],
        ),
    ] {
        let [found, another, wanted] = told;
        assert_eq!(
            said(field, was, is),
            format!(
                "d1: `invoice.{field}` is {found} where the source says {another}{wanted} (`deal.{field}`); `invoice.{field}` = {wanted}"
            )
        );
    }
}

#[test]
fn a_key_that_is_an_address_is_told_in_outline() {
    let terms = scenario(
        "agree: { from: crm.deals, where: 'deal.won', source_key: deal.email, to: billing.invoices, key: invoice.email }\n  \
         converges: { within: 10m }",
    );
    let deal = json!({ "id": "d1", "won": true, "email": "ap@contoso-ag.info" });
    let judged =
        super::super::judge(&terms, &profiles(), &drill().change(0, "crm.deals", Given, deal, None).build());
    let said: Vec<String> = judged.into_iter().flat_map(|j| j.findings).map(|f| f.message).collect();
    assert!(
        said.iter().any(|s| s.starts_with("‹e-mail address, 18 characters› has no live billing.invoices")),
        "{said:?}"
    );
    assert!(!said.concat().contains("contoso"), "{said:?}");
}

#[test]
fn empty_ledgers_are_unknown() {
    drill().unknown(&agree(""), "reconciliation/nothing_to_compare");
}

#[test]
fn where_nothing_was_wanted_a_subject_that_saw_none_of_it_proves_nothing() {
    let open = || drill().change(0, "crm.deals", Given, deal(false, "12.30"), None);
    let rule = "reconciliation/nothing_wanted";
    open().unknown(&agree(""), rule);
    open().call(call("crm", "GET /deals", 50)).unknown(&agree(""), rule);
    open().passes(&shared(agree("")), "reconciliation");
    let shown = call("crm", "GET /deals", 50).answers(200, json!([{ "id": "d1" }]));
    open().call(shown).passes(&agree(""), "reconciliation");
    open()
        .change(2_000, "billing.invoices", Created, invoice("i1", 1230), Some(0))
        .fails(&agree(""), "reconciliation/unwanted");
    won().change(2_000, "crm.deals", Deleted, deal(true, "12.30"), None).passes(&agree(""), "reconciliation");
}
