"""The official Python client of HubSpot, unchanged, against the vendor that firedrill serves."""

import json

import hubspot
from common import Receiver, expect, run
from hubspot.crm.deals import (
    ApiException,
    BatchReadInputSimplePublicObjectId,
    PublicObjectSearchRequest,
    SimplePublicObjectInput,
    SimplePublicObjectInputForCreate,
)
from hubspot.oauth import ApiException as OauthException
from hubspot.utils.signature import Signature


def tokens(served, **changed):
    vendor = served.vendor("crm")
    known = {k: vendor["credentials"][k] for k in ("client_id", "client_secret", "refresh_token")}
    api = hubspot.Client.create(host=vendor["url"]).oauth.tokens_api
    return api.create(grant_type="refresh_token", **{**known, **changed})


def deals(served, token=None):
    token = token or tokens(served).access_token
    return hubspot.Client.create(access_token=token, host=served.vendor("crm")["url"]).crm.deals


def a_refresh_token_gives_an_access_token_until_it_expires(served):
    given = tokens(served)
    assert (given.token_type, given.expires_in) == ("bearer", 1800), given
    api = deals(served, given.access_token).basic_api
    assert api.get_page(limit=1).results
    served.ask("POST", "/time/advance", {"by": "31m"})
    error = expect(ApiException, lambda: api.get_page(limit=1))
    assert error.status == 401 and json.loads(error.body)["category"] == "EXPIRED_AUTHENTICATION", error
    assert deals(served).basic_api.get_page(limit=1).results


def a_bad_refresh_token_is_refused(served):
    error = expect(OauthException, lambda: tokens(served, refresh_token="na1-none"))
    assert error.status == 400 and json.loads(error.body)["status"] == "BAD_REFRESH_TOKEN", error
    error = expect(OauthException, lambda: tokens(served, client_secret="none"))
    assert error.status == 400 and json.loads(error.body)["status"] == "BAD_CLIENT_ID", error


def a_deal_is_created_read_updated_and_archived(served):
    api = deals(served).basic_api
    made = api.create(SimplePublicObjectInputForCreate(properties={"dealname": "Ünïcode", "amount": "12.30"}))
    read = api.get_by_id(made.id, properties=["dealname", "amount", "dealstage"])
    assert (read.properties["dealname"], read.properties["amount"]) == ("Ünïcode", "12.30"), read
    assert read.archived is False and read.created_at <= read.updated_at, read
    api.update(made.id, SimplePublicObjectInput(properties={"dealstage": "closedwon"}))
    assert api.get_by_id(made.id, properties=["dealstage"]).properties["dealstage"] == "closedwon"
    api.archive(made.id)
    error = expect(ApiException, lambda: api.get_by_id(made.id))
    assert error.status == 404, error


def get_all_pages_by_itself(served):
    api = deals(served)
    every = api.get_all(properties=["dealname"])
    ids = [d.id for d in every]
    assert len(ids) >= 230 and len(set(ids)) == len(ids), len(ids)
    ledger = served.ask("GET", "/ledgers/crm/deals")["records"]
    assert sorted(ids) == sorted(d["id"] for d in ledger)


def a_search_finds_sorts_and_pages(served):
    search = deals(served).search_api
    found, after = [], None
    while True:
        page = search.do_search(PublicObjectSearchRequest(
            filter_groups=[{"filters": [
                {"propertyName": "dealstage", "operator": "EQ", "value": "contractsent"},
                {"propertyName": "deal_currency_code", "operator": "IN", "values": ["USD", "EUR"]},
            ]}],
            sorts=["createdate"], properties=["deal_currency_code"], limit=100, after=after,
        ))
        found.extend(page.results)
        if page.paging is None:
            break
        after = page.paging.next.after
    assert len(found) == page.total and len(found) > 100, (len(found), page.total)
    assert {d.properties["deal_currency_code"] for d in found} == {"USD", "EUR"}


def a_batch_is_read(served):
    api = deals(served)
    ids = [d.id for d in api.basic_api.get_page(limit=3).results]
    inputs = BatchReadInputSimplePublicObjectId(
        inputs=[{"id": i} for i in ids], properties=["dealname"], properties_with_history=[]
    )
    batch = api.batch_api.read(inputs)
    assert sorted(d.id for d in batch.results) == sorted(ids), batch
    assert batch.status == "COMPLETE" and batch.started_at <= batch.completed_at, batch


def errors_are_of_their_classes(served):
    api = deals(served).basic_api
    missing = expect(ApiException, lambda: api.get_by_id("1"))
    body = json.loads(missing.body)
    assert missing.status == 404 and body["status"] == "error" and body["correlationId"], body
    wrong = expect(ApiException, lambda: deals(served, "none").basic_api.get_page())
    assert wrong.status == 401, wrong
    for kind, status in [("rate_limited", 429), ("forbidden", 403), ("server_error", 500), ("unavailable", 503)]:
        served.arm("crm GET /crm/v3/objects/deals", {"error": {"kind": kind}})
        error = expect(ApiException, lambda: api.get_page())
        assert error.status == status, error
        if status == 429:
            assert json.loads(error.body)["policyName"] == "TEN_SECONDLY_ROLLING", error.body
        served.disarm()


def webhooks_verify_with_the_clients_own_function(served):
    receiver = Receiver()
    secret = served.vendor("crm")["credentials"]["webhook_secret"]
    served.ask("PUT", "/vendors/crm/webhooks", {"url": receiver.url})
    closed = served.ask("POST", "/actions", {"do": "crm.deals.close"})["steps"][0]["records"]
    assert closed
    # The vendor gathers events: what the checks before this one did may come along, or ahead.
    events = []
    while {str(e["objectId"]) for e in events} != set(closed):
        headers, body = receiver.next()
        events = [e for e in json.loads(body) if str(e["objectId"]) in closed]
    served.ask("DELETE", "/vendors/crm/webhooks")
    assert {e["subscriptionType"] for e in events} == {"deal.propertyChange"}, body
    headers = {name.lower(): value for name, value in headers.items()}
    signed = {
        "signature": headers["x-hubspot-signature-v3"],
        "client_secret": secret,
        "http_uri": receiver.url,
        "http_method": "POST",
        "signature_version": "v3",
        "timestamp": headers["x-hubspot-request-timestamp"],
    }
    assert Signature.is_valid(request_body=body.decode(), **signed)
    assert not Signature.is_valid(request_body=body.decode() + " ", **signed)
    assert not Signature.is_valid(request_body=body.decode(), **{**signed, "client_secret": "other"})


if __name__ == "__main__":
    run([
        a_bad_refresh_token_is_refused,
        a_deal_is_created_read_updated_and_archived,
        get_all_pages_by_itself,
        a_search_finds_sorts_and_pages,
        a_batch_is_read,
        errors_are_of_their_classes,
        webhooks_verify_with_the_clients_own_function,
        a_refresh_token_gives_an_access_token_until_it_expires,
    ])
