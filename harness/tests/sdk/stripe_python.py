"""The official Python client of Stripe, unchanged, against the vendor that firedrill serves."""

import uuid

import stripe
from common import Receiver, expect, run


def client(served, **more):
    vendor = served.vendor("billing")
    key = more.pop("api_key", vendor["credentials"]["api_key"])
    more.setdefault("max_network_retries", 0)
    return stripe.StripeClient(key, base_addresses={"api": vendor["url"]}, **more).v1


def a_customer_is_created_read_updated_and_deleted(served):
    customers = client(served).customers
    made = customers.create({"name": "Zoë", "email": "zoe@example.com", "metadata": {"deal_id": "1"}})
    assert made.id.startswith("cus_") and made.object == "customer", made
    read = customers.retrieve(made.id)
    assert (read.name, read.metadata["deal_id"]) == ("Zoë", "1"), read
    changed = customers.update(made.id, {"metadata": {"deal_id": "", "note": "a & b"}})
    assert changed.metadata.to_dict() == {"note": "a & b"}, changed
    assert customers.delete(made.id).deleted
    assert customers.retrieve(made.id).deleted


def the_global_style_works_too(served):
    vendor = served.vendor("billing")
    stripe.api_base, stripe.api_key = vendor["url"], vendor["credentials"]["api_key"]
    made = stripe.Customer.create(name="Ann", metadata={"a": "b"})
    made = stripe.Customer.modify(made.id, description="modified")
    assert stripe.Customer.retrieve(made.id).description == "modified"
    assert any(c.id == made.id for c in stripe.Customer.list(limit=3))


def an_invoice_is_made_of_items_and_finalized(served):
    v1 = client(served)
    customer = v1.customers.create({"name": "Ann"})
    invoice = v1.invoices.create(
        {"customer": customer.id, "collection_method": "send_invoice", "days_until_due": 30, "currency": "eur"}
    )
    for amount in (1250, 750):
        v1.invoice_items.create(
            {"customer": customer.id, "invoice": invoice.id, "amount": amount, "currency": "eur"}
        )
    assert v1.invoices.retrieve(invoice.id).amount_due == 2000
    final = v1.invoices.finalize_invoice(invoice.id)
    assert (final.status, final.total, len(final.lines.data)) == ("open", 2000, 2), final
    paid = v1.invoices.pay(invoice.id, {"paid_out_of_band": True})
    assert (paid.status, paid.amount_remaining) == ("paid", 0), paid
    error = expect(stripe.InvalidRequestError, lambda: v1.invoices.delete(invoice.id))
    assert "draft" in error.user_message, error


def lists_page_by_themselves(served):
    customers = client(served).customers
    mail = f"{uuid.uuid4()}@example.com"
    made = [customers.create({"email": mail}).id for _ in range(23)]
    listed = [c.id for c in customers.list({"email": mail, "limit": 5}).auto_paging_iter()]
    assert listed == made[::-1], (listed, made)
    page = customers.list({"email": mail, "limit": 5, "ending_before": made[10]})
    assert page.data, page


def a_search_finds_and_pages(served):
    v1 = client(served)
    mark = uuid.uuid4().hex
    made = {v1.customers.create({"name": "Bob", "metadata": {"mark": mark}}).id for _ in range(12)}
    found = v1.customers.search({"query": f"metadata['mark']:'{mark}' AND name:'Bob'", "limit": 5})
    assert {c.id for c in found.auto_paging_iter()} == made


def a_replayed_key_gives_the_first_answer(served):
    customers = client(served).customers
    key = {"idempotency_key": str(uuid.uuid4())}
    first = customers.create({"name": "Ann"}, key)
    again = customers.create({"name": "Ann"}, key)
    assert again.id == first.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    error = expect(stripe.IdempotencyError, lambda: customers.create({"name": "Bob"}, key))
    assert error.http_status == 400, error


def errors_are_of_their_classes(served):
    v1 = client(served)
    missing = expect(stripe.InvalidRequestError, lambda: v1.customers.retrieve("cus_none"))
    assert (missing.http_status, missing.code) == (404, "resource_missing"), missing.json_body
    assert missing.request_id and missing.request_id.startswith("req_"), missing.headers
    unknown = expect(stripe.InvalidRequestError, lambda: v1.customers.create({"nmae": "x"}))
    assert (unknown.code, unknown.param) == ("parameter_unknown", "nmae"), unknown.json_body
    lacking = expect(stripe.InvalidRequestError, lambda: v1.invoices.create({}))
    assert (lacking.code, lacking.param) == ("parameter_missing", "customer"), lacking.json_body
    expect(stripe.AuthenticationError, lambda: client(served, api_key="sk_test_wrong").customers.list())
    for kind, error in [
        ("rate_limited", stripe.RateLimitError),
        ("forbidden", stripe.PermissionError),
        ("server_error", stripe.APIError),
        ("bad_gateway", stripe.APIError),
        # The client has no class of its own for a 409.
        ("idempotency_in_use", stripe.APIError),
    ]:
        served.arm("billing GET /v1/customers", {"error": {"kind": kind}})
        error = expect(error, lambda: v1.customers.list())
        served.disarm()
    assert error.http_status == 409, error
    assert error.json_body["error"]["code"] == "idempotency_key_in_use", error.json_body
    served.arm("billing", {"close": "before_applied"})
    expect(stripe.APIConnectionError, lambda: v1.customers.list())


def a_lost_answer_is_retried_under_one_key(served):
    mark = uuid.uuid4().hex
    served.arm("billing POST /v1/customers", {"reset": "after_applied"}, calls="1")
    customers = client(served, max_network_retries=2).customers
    made = customers.create({"metadata": {"mark": mark}})
    found = customers.search({"query": f"metadata['mark']:'{mark}'"}).data
    assert [c.id for c in found] == [made.id], found


def webhooks_verify_with_the_clients_own_function(served):
    receiver = Receiver()
    vendor = served.vendor("billing")
    secret = vendor["credentials"]["webhook_secret"]
    served.ask("PUT", "/vendors/billing/webhooks", {"url": receiver.url})
    made = client(served).customers.create({"name": "Zoë 🍮"})
    headers, body = receiver.next()
    served.ask("DELETE", "/vendors/billing/webhooks")
    signature = headers["stripe-signature"]
    event = stripe.Webhook.construct_event(body, signature, secret)
    assert (event.type, event.data.object.id) == ("customer.created", made.id), event
    bad = stripe.SignatureVerificationError
    expect(bad, lambda: stripe.Webhook.construct_event(body + b" ", signature, secret))
    expect(bad, lambda: stripe.Webhook.construct_event(body, signature, "whsec_other"))
    for fault in ("wrong_secret", "tampered_body", "old_timestamp"):
        served.arm("webhook billing", {"signature": fault})
        served.ask("PUT", "/vendors/billing/webhooks", {"url": receiver.url})
        client(served).customers.create({"name": "Ann"})
        headers, body = receiver.next()
        expect(bad, lambda: stripe.Webhook.construct_event(body, headers["stripe-signature"], secret))
        served.disarm()
        served.ask("DELETE", "/vendors/billing/webhooks")


if __name__ == "__main__":
    run([
        a_customer_is_created_read_updated_and_deleted,
        the_global_style_works_too,
        an_invoice_is_made_of_items_and_finalized,
        lists_page_by_themselves,
        a_search_finds_and_pages,
        a_replayed_key_gives_the_first_answer,
        errors_are_of_their_classes,
        a_lost_answer_is_retried_under_one_key,
        webhooks_verify_with_the_clients_own_function,
    ])
