//! What HubSpot, Stripe and GitHub answer, when nothing is wrong and when the caller is.

use super::*;
use crate::fault::ErrorKind;
use crate::trace::ChangeKind;

fn customer(desk: &mut Desk) -> String {
    let made = desk.post("/v1/customers", "email=a@b.c&name=Ann&metadata[deal]=1");
    made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
}

fn invoice(desk: &mut Desk) -> (String, String) {
    let customer = customer(desk);
    let made = desk.post("/v1/invoices", &format!("customer={customer}&metadata[deal_id]=7"));
    (customer, made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned())
}

#[test]
fn an_invoice_is_the_sum_of_its_items() {
    let mut desk = Desk::patched("stripe", json!({ "webhooks": { "enabled": true } }));
    let (customer, invoice) = invoice(&mut desk);
    for amount in [1000, 234] {
        let item = desk.post(
            "/v1/invoiceitems",
            &format!("customer={customer}&invoice={invoice}&amount={amount}&currency=eur"),
        );
        assert_eq!(item["amount"], amount, "{item}");
    }
    let got = desk.get(&format!("/v1/invoices/{invoice}"));
    assert_eq!(
        (&got["amount_due"], &got["total"], &got["currency"]),
        (&json!(1234), &json!(1234), &json!("eur"))
    );
    assert_eq!(got["lines"]["data"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&got["status"], &got["livemode"], &got["created"]),
        (&json!("draft"), &json!(false), &json!(1772442000))
    );
    assert!(got.get("_currency").is_none());

    let wrong = desk
        .post("/v1/invoiceitems", &format!("customer={customer}&invoice={invoice}&amount=1&currency=usd"));
    assert_eq!(wrong["error"]["param"], "currency", "{wrong}");

    let done = desk.send("POST", &format!("/v1/invoices/{invoice}/finalize"), "", &[]);
    let finalized = body(&done);
    assert_eq!((&finalized["status"], &finalized["amount_due"]), (&json!("open"), &json!(1234)));
    assert!(finalized["number"].as_str().unwrap().ends_with("-0001"));
    assert_eq!(done.emissions.last().unwrap().kind.as_ref(), "invoice.finalized");
    let again = desk.send("POST", &format!("/v1/invoices/{invoice}/finalize"), "", &[]);
    assert_eq!((status(&again), again.told.error), (400, Some(ErrorKind::InvalidRequest)));
    let late = desk
        .post("/v1/invoiceitems", &format!("customer={customer}&invoice={invoice}&amount=1&currency=eur"));
    assert_eq!(late["error"]["code"], "invoice_not_editable");

    let voided = desk.post(&format!("/v1/invoices/{invoice}/void"), "");
    assert_eq!((&voided["status"], &voided["amount_due"]), (&json!("void"), &json!(1234)));
    assert_eq!(status(&desk.send("DELETE", &format!("/v1/invoices/{invoice}"), "", &[])), 400);
}

#[test]
fn stripe_answers_in_the_version_that_was_asked_for() {
    let mut desk = Desk::new("stripe");
    let mut version = |asked: &[(&str, &str)], path: &str| {
        let answer = desk.send("GET", path, "", asked).response.unwrap();
        answer.headers.get("stripe-version").map(str::to_owned)
    };
    let own = version(&[], "/v1/customers").unwrap();
    let asked = [("stripe-version", "2024-06-20")];
    assert_ne!(own, "2024-06-20");
    assert_eq!(version(&asked, "/v1/customers").as_deref(), Some("2024-06-20"));
    assert_eq!(version(&asked, "/v1/customers/cus_none").as_deref(), Some("2024-06-20"));
}

#[test]
fn pending_items_join_an_invoice_only_when_asked_to() {
    let mut desk = Desk::new("stripe");
    let customer = customer(&mut desk);
    desk.post("/v1/invoiceitems", &format!("customer={customer}&amount=500&currency=jpy"));
    let without = desk.post("/v1/invoices", &format!("customer={customer}"));
    assert_eq!(without["amount_due"], 0);
    let with =
        desk.post("/v1/invoices", &format!("customer={customer}&pending_invoice_items_behavior=include"));
    assert_eq!((&with["amount_due"], &with["currency"]), (&json!(500), &json!("jpy")));
    let pending = desk.get(&format!("/v1/invoiceitems?invoice={}", with["id"].as_str().unwrap()));
    assert_eq!(pending["data"].as_array().unwrap().len(), 1);
}

#[test]
fn a_draft_can_be_deleted_with_its_items() {
    let mut desk = Desk::new("stripe");
    let (customer, invoice) = invoice(&mut desk);
    desk.post("/v1/invoiceitems", &format!("customer={customer}&invoice={invoice}&amount=5&currency=usd"));
    let gone = desk.send("DELETE", &format!("/v1/invoices/{invoice}"), "", &[]);
    assert_eq!(body(&gone), json!({ "id": invoice, "object": "invoice", "deleted": true }));
    let kinds: Vec<_> = gone.changes.iter().map(|c| (c.collection.as_ref(), c.change)).collect();
    assert_eq!(kinds, [("invoices", ChangeKind::Deleted), ("invoiceitems", ChangeKind::Deleted)]);
    let missing = desk.send("GET", &format!("/v1/invoices/{invoice}"), "", &[]);
    assert_eq!((status(&missing), missing.told.error), (404, Some(ErrorKind::NotFound)));
    assert_eq!(body(&missing)["error"]["message"], format!("No such invoice: '{invoice}'"));
    let dead = desk.send("DELETE", &format!("/v1/customers/{customer}"), "", &[]);
    assert_eq!(status(&dead), 200);
    assert_eq!(desk.get(&format!("/v1/customers/{customer}"))["deleted"], true);
    assert!(
        desk.post("/v1/invoices", &format!("customer={customer}"))["error"]["code"] == "resource_missing"
    );
}

#[test]
fn an_invoice_due_in_days_has_its_date_when_it_is_finalized() {
    let mut desk = Desk::new("stripe");
    let customer = customer(&mut desk);
    let form = format!("customer={customer}&collection_method=send_invoice&days_until_due=30&currency=eur");
    let made = desk.post("/v1/invoices", &form);
    assert_eq!((&made["due_date"], &made["currency"]), (&Value::Null, &json!("eur")));
    let id = made["id"].as_str().unwrap().to_owned();
    desk.post("/v1/invoiceitems", &format!("customer={customer}&invoice={id}&amount=5&currency=eur"));
    desk.wait(Span::secs(10));
    let open = desk.post(&format!("/v1/invoices/{id}/finalize"), "");
    assert_eq!(open["due_date"], 1772442010 + 30 * 86400);
    let paid = desk.post(&format!("/v1/invoices/{id}/pay"), "");
    assert_eq!(
        (&paid["status"], &paid["amount_paid"], &paid["amount_remaining"]),
        (&json!("paid"), &json!(5), &json!(0))
    );
}

#[test]
fn stripe_refuses_parameters_in_its_own_words() {
    let mut desk = Desk::new("stripe");
    for (form, code, param) in [
        ("colour=red&customer=x", "parameter_unknown", "colour"),
        ("", "parameter_missing", "customer"),
        ("customer=cus_none", "resource_missing", "customer"),
        ("customer=x&days_until_due=soon", "parameter_invalid", "days_until_due"),
    ] {
        let reaction = desk.send("POST", "/v1/invoices", form, &[]);
        let error = &body(&reaction)["error"];
        assert_eq!((status(&reaction), error["code"].as_str()), (400, Some(code)), "{form}: {error}");
        assert_eq!(
            (error["param"].as_str(), error["type"].as_str()),
            (Some(param), Some("invalid_request_error"))
        );
        assert!(!reaction.applied && reaction.changes.is_empty());
        let id = header(&reaction, "request-id").unwrap();
        assert!(error["request_log_url"].as_str().unwrap().ends_with(id), "the body speaks of its own id");
    }
    assert_eq!(status(&desk.send("GET", "/v1/unicorns", "", &[])), 404);
    assert_eq!(status(&desk.send("POST", "/v1/customers", r#"{"email":"a"}"#, &[])), 400);
}

#[test]
fn metadata_is_joined_and_an_update_leaves_the_rest() {
    let mut desk = Desk::new("stripe");
    let id = customer(&mut desk);
    let got = desk.post(&format!("/v1/customers/{id}"), "metadata[deal]=&metadata[x]=2&name=");
    assert_eq!(
        (&got["metadata"], &got["name"], &got["email"]),
        (&json!({ "x": "2" }), &Value::Null, &json!("a@b.c"))
    );
}

#[test]
fn lists_and_searches_find_by_email_customer_and_metadata() {
    let mut desk = Desk::new("stripe");
    let (first, invoice) = invoice(&mut desk);
    desk.post("/v1/customers", "email=z@b.c");
    let found = desk.get("/v1/customers?email=a%40b.c");
    assert_eq!((found["data"].as_array().unwrap().len(), &found["data"][0]["id"]), (1, &json!(first)));
    assert_eq!(
        (&found["object"], &found["url"], &found["has_more"]),
        (&json!("list"), &json!("/v1/customers"), &json!(false))
    );
    let all = desk.get("/v1/customers?limit=1");
    assert_eq!((&all["data"][0]["email"], &all["has_more"]), (&json!("z@b.c"), &json!(true)), "newest first");
    let next =
        desk.get(&format!("/v1/customers?limit=1&starting_after={}", all["data"][0]["id"].as_str().unwrap()));
    assert_eq!((&next["data"][0]["id"], &next["has_more"]), (&json!(first), &json!(false)));
    let by = desk.get(&format!("/v1/invoices?customer={first}&status=draft&created[gte]=1"));
    assert_eq!(by["data"][0]["id"], invoice, "{by}");
    let hit = desk.get("/v1/invoices/search?query=metadata%5B%27deal_id%27%5D%3A%277%27");
    assert_eq!((&hit["object"], &hit["data"][0]["id"]), (&json!("search_result"), &json!(invoice)), "{hit}");
    let over = desk.send("GET", "/v1/invoices?limit=101", "", &[]);
    assert_eq!(status(&over), 400);
}

#[test]
fn a_search_may_lag_behind() {
    let patch =
        json!({ "operations": { "GET /v1/customers/search": { "search": { "query": { "lag": "60s" } } } } });
    let mut desk = Desk::patched("stripe", patch);
    customer(&mut desk);
    let query = "/v1/customers/search?query=email:'a@b.c'";
    assert_eq!(desk.get(query)["data"], json!([]));
    desk.wait(Span::secs(60));
    assert_eq!(desk.get(query)["data"].as_array().unwrap().len(), 1);
}

#[test]
fn a_key_may_come_as_a_user_name() {
    let mut desk = Desk::new("stripe");
    use base64::Engine as _;
    let code = base64::engine::general_purpose::STANDARD.encode(format!("{}:", desk.token));
    let basic = format!("Basic {code}");
    assert_eq!(status(&desk.send("GET", "/v1/customers", "", &[("authorization", &basic)])), 200);
}

#[test]
fn deals_are_made_up_unlike_each_other_and_the_same_for_one_seed() {
    let mut desk = Desk::new("hubspot");
    let ids = desk.give("deals", 200);
    let deals = desk.vendor.records("deals").unwrap();
    assert_eq!((ids.len(), deals.len()), (200, 200));
    let mut emails = std::collections::BTreeSet::new();
    let mut currencies = std::collections::BTreeSet::new();
    let mut unicode = false;
    for deal in &deals {
        let p = &deal["properties"];
        let (amount, currency) = (p["amount"].as_str().unwrap(), p["deal_currency_code"].as_str().unwrap());
        assert!(crate::expr::minor_units(amount, currency).unwrap() > 0);
        assert_eq!(p["dealstage"], "contractsent");
        assert!(p["closedate"].is_string() && p["billing_name"].is_string());
        emails.insert(p["billing_email"].as_str().unwrap().to_owned());
        currencies.insert(currency.to_owned());
        unicode |= !p["dealname"].as_str().unwrap().is_ascii();
    }
    assert_eq!(emails.len(), 200);
    assert!(
        unicode && currencies.contains("JPY") && currencies.contains("EUR") && currencies.contains("USD")
    );
}

#[test]
fn given_fields_are_set_and_taken_in_turn() {
    let mut desk = Desk::new("hubspot");
    let given: Given = serde_json::from_value(json!({
        "count": 3,
        "set": { "properties.dealstage": "qualified" },
        "each": { "properties.amount": ["1.15", "8.20"] },
    }))
    .unwrap();
    let changes = desk.vendor.give("deals", &given).unwrap();
    let amounts: Vec<_> = changes.iter().map(|c| c.record["properties"]["amount"].clone()).collect();
    assert_eq!(amounts, [json!("1.15"), json!("8.20"), json!("1.15")]);
    assert!(changes.iter().all(|c| c.change == ChangeKind::Given));
    let why = desk.vendor.give("dealz", &given).unwrap_err();
    assert!(why.contains("`deals`"), "{why}");
}

#[test]
fn a_deal_shows_the_properties_that_were_asked_for() {
    let mut desk = Desk::new("hubspot");
    let ids = desk.give("deals", 1);
    let plain = desk.get(&format!("/crm/v3/objects/deals/{}", ids[0]));
    assert!(
        plain["properties"].get("billing_email").is_none() && plain["properties"].get("amount").is_some()
    );
    for query in ["properties=billing_email,nothing", "properties=billing_email&properties=nothing"] {
        let asked = desk.get(&format!("/crm/v3/objects/deals/{}?{query}", ids[0]));
        let names: Vec<_> = asked["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["billing_email", "createdate", "hs_lastmodifieddate", "hs_object_id", "nothing"]);
        assert_eq!(asked["properties"]["nothing"], Value::Null);
    }
    desk.wait(Span::secs(5));
    let before = plain["properties"]["hs_lastmodifieddate"].clone();
    let patched = body(&desk.send(
        "PATCH",
        &format!("/crm/v3/objects/deals/{}", ids[0]),
        r#"{"properties":{"amount":12.5,"x":""}}"#,
        &[],
    ));
    assert_eq!(patched["properties"]["amount"], "12.5");
    assert_ne!(patched["properties"]["hs_lastmodifieddate"], before);
    let gone = desk.send("DELETE", &format!("/crm/v3/objects/deals/{}", ids[0]), "", &[]);
    assert_eq!((status(&gone), body(&gone)), (204, Value::Null));
    let missing = desk.send("GET", &format!("/crm/v3/objects/deals/{}", ids[0]), "", &[]);
    let error = body(&missing);
    assert_eq!(
        (status(&missing), &error["status"], &error["category"]),
        (404, &json!("error"), &json!("OBJECT_NOT_FOUND"))
    );
}

#[test]
fn hubspot_pages_by_after_and_searches_by_offset() {
    let mut desk =
        Desk::patched("hubspot", json!({ "rate_limit": { "also": { "search": { "limit": 1000 } } } }));
    let ids = desk.give("deals", 25);
    let mut seen = Vec::new();
    let mut target = "/crm/v3/objects/deals?limit=10".to_owned();
    loop {
        let page = desk.get(&target);
        seen.extend(page["results"].as_array().unwrap().iter().map(|d| d["id"].as_str().unwrap().to_owned()));
        let Some(link) = page["paging"]["next"]["link"].as_str() else { break };
        assert!(link.starts_with("https://api.hubapi.com/crm/v3/objects/deals?limit=10&after="), "{link}");
        target = link.trim_start_matches("https://api.hubapi.com").to_owned();
    }
    assert_eq!(seen, ids.iter().map(|i| i.to_string()).collect::<Vec<_>>());
    desk.act("deals.close", &ids[..12], json!({}));
    let mut found = Vec::new();
    let mut after = json!(null);
    loop {
        let query = json!({
            "filterGroups": [{ "filters": [{ "propertyName": "dealstage", "operator": "EQ", "value": "closedwon" }] }],
            "properties": ["amount"], "limit": 5, "after": after,
        });
        let page = desk.send("POST", "/crm/v3/objects/deals/search", &query.to_string(), &[]);
        assert_eq!(header(&page, "x-hubspot-ratelimit-remaining"), None, "a search tells no quota");
        let page = body(&page);
        assert_eq!(page["total"], 12);
        found
            .extend(page["results"].as_array().unwrap().iter().map(|d| d["id"].as_str().unwrap().to_owned()));
        after = page["paging"]["next"]["after"].clone();
        if after.is_null() {
            break;
        }
    }
    assert_eq!(found, seen[..12]);
    let capped = Desk::patched("hubspot", json!({ "paging": { "max": 10, "default": 10 } }));
    let mut capped = Desk { ..capped };
    capped.give("deals", 45);
    assert_eq!(capped.get("/crm/v3/objects/deals?limit=100")["results"].as_array().unwrap().len(), 10);
}

#[test]
fn a_batch_read_names_what_is_missing() {
    let mut desk = Desk::new("hubspot");
    let ids = desk.give("deals", 2);
    let inputs = |list: &[&str]| {
        json!({ "inputs": list.iter().map(|i| json!({ "id": i })).collect::<Vec<_>>() }).to_string()
    };
    let all = desk.send("POST", "/crm/v3/objects/deals/batch/read", &inputs(&[&ids[0], &ids[1]]), &[]);
    assert_eq!((status(&all), body(&all)["results"].as_array().unwrap().len()), (200, 2));
    let some = desk.send("POST", "/crm/v3/objects/deals/batch/read", &inputs(&[&ids[0], "1"]), &[]);
    let got = body(&some);
    assert_eq!((status(&some), &got["errors"][0]["context"]["ids"]), (207, &json!(["1"])));
    assert_eq!(got["results"].as_array().unwrap().len(), 1);
}

#[test]
fn github_answers_an_unchanged_read_with_304_for_free() {
    let mut desk = Desk::new("github");
    desk.give("issues", 3);
    let issue = desk.send("GET", "/repos/octo-org/octo-repo/issues/2", "", &[]);
    assert_eq!((status(&issue), &body(&issue)["number"]), (200, &json!(2)));
    let tag = header(&issue, "etag").unwrap().to_owned();
    let left = issue.told.quotas[0].remaining;
    let same = desk.send("GET", "/repos/octo-org/octo-repo/issues/2", "", &[("if-none-match", &tag)]);
    assert_eq!((status(&same), same.response.as_ref().unwrap().body.len()), (304, 0));
    let next = desk.send("GET", "/repos/octo-org/octo-repo/issues/2", "", &[]);
    assert_eq!(next.told.quotas[0].remaining, left - 1, "the 304 cost nothing");
    desk.send("PATCH", "/repos/octo-org/octo-repo/issues/2", r#"{"state":"closed"}"#, &[]);
    let changed = desk.send("GET", "/repos/octo-org/octo-repo/issues/2", "", &[("if-none-match", &tag)]);
    assert_eq!(status(&changed), 200);
}

#[test]
fn github_keeps_comments_with_their_issue() {
    let mut desk = Desk::new("github");
    let made = desk.send("POST", "/repos/me/mine/issues", r#"{"title":"It broke","labels":["bug"]}"#, &[]);
    assert_eq!((status(&made), &body(&made)["number"]), (201, &json!(1)), "{}", body(&made));
    let path = "/repos/me/mine/issues/1/comments";
    assert_eq!(status(&desk.send("POST", path, r#"{"body":"yes"}"#, &[])), 201);
    assert_eq!(desk.get(path)[0]["body"], "yes");
    assert_eq!(status(&desk.send("GET", "/repos/me/other/issues/1", "", &[])), 404);
    assert_eq!(status(&desk.send("POST", "/repos/me/mine/issues/9/comments", r#"{"body":"x"}"#, &[])), 404);
    assert_eq!(status(&desk.send("POST", "/repos/me/mine/issues", r#"{"body":"x"}"#, &[])), 422);
    assert_eq!(status(&desk.send("GET", "/repos/me/mine/issues", "", &[("user-agent", "")])), 403);
}

#[test]
fn a_head_is_answered_as_the_get() {
    let mut desk = Desk::new("github");
    desk.give("issues", 2);
    let path = "/repos/octo-org/octo-repo/issues";
    let named = |desk: &Desk, method: &str, path: &str| {
        desk.vendor.operation(&desk.request(method, path, "", &[])).map(|o| (o.name.to_string(), o.kind))
    };
    let (get, head) = (named(&desk, "GET", path).unwrap(), named(&desk, "HEAD", path).unwrap());
    assert_eq!((head.0, head.1), (get.0.replace("GET ", "HEAD "), get.1));
    let asked = desk.send("GET", path, "", &[]);
    let only_the_head = desk.send("HEAD", path, "", &[]);
    assert_eq!((status(&only_the_head), only_the_head.applied), (200, true));
    assert_eq!(body(&only_the_head), body(&asked));
    let tag = header(&asked, "etag").unwrap();
    assert_eq!(header(&only_the_head, "etag"), Some(tag));
    assert_eq!(status(&desk.send("HEAD", path, "", &[("if-none-match", tag)])), 304);
    assert_eq!(status(&desk.send("HEAD", "/repos/octo-org/octo-repo/issues/99", "", &[])), 404);

    let desk = Desk::new("stripe");
    assert_eq!(named(&desk, "HEAD", "/v1/invoices/in_1/finalize"), None, "that is no GET");
}
