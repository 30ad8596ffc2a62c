"""Won HubSpot deals become Stripe invoices: a webhook receiver.

HubSpot posts what changed. A deal that was won is read and billed with the vendors' own SDKs, and
then the delivery is acknowledged; HubSpot sends again what was not.
"""

import json
import logging
import os
import threading
import time
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import hubspot
import stripe
from hubspot.exceptions import InvalidSignatureTimestampError
from hubspot.utils.signature import Signature

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
log = logging.getLogger("invoicer")

# https://docs.stripe.com/currencies#zero-decimal
ZERO_DECIMAL = {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"}
PROPERTIES = ["amount", "billing_email", "billing_name", "deal_currency_code", "dealname", "dealstage"]


class HubSpot:
    """Deals, under an access token that is renewed before it expires."""

    def __init__(self, url, client_id, client_secret, refresh_token):
        self.url = url
        self.grant = {"client_id": client_id, "client_secret": client_secret, "refresh_token": refresh_token}
        self.lock = threading.Lock()
        self.client, self.renew_at = None, 0.0

    def deal(self, deal_id):
        with self.lock:
            if time.monotonic() >= self.renew_at:
                oauth = hubspot.Client.create(host=self.url).oauth.tokens_api
                token = oauth.create(grant_type="refresh_token", **self.grant)
                self.client = hubspot.Client.create(access_token=token.access_token, host=self.url)
                self.renew_at = time.monotonic() + 0.9 * token.expires_in
        return self.client.crm.deals.basic_api.get_by_id(deal_id, properties=PROPERTIES).properties


class Invoicer:
    def __init__(self, crm, billing):
        self.crm, self.billing = crm, billing
        self.seen = set()

    def take(self, events):
        for event in events:
            if event["eventId"] in self.seen:
                continue
            if (event["subscriptionType"], event.get("propertyName")) == ("deal.propertyChange", "dealstage"):
                if event["propertyValue"] == "closedwon":
                    self.bill(str(event["objectId"]))
            self.seen.add(event["eventId"])

    def bill(self, deal_id):
        deal = self.crm.deal(deal_id)
        if deal["dealstage"] != "closedwon":
            return
        currency = deal["deal_currency_code"]
        amount = int(Decimal(deal["amount"]) * (1 if currency in ZERO_DECIMAL else 100))
        customer = self.customer(deal)
        invoice = self.billing.invoices.create({
            "customer": customer.id,
            "currency": currency.lower(),
            "collection_method": "send_invoice",
            "days_until_due": 30,
            "metadata": {"deal_id": deal_id},
        })
        self.billing.invoice_items.create({
            "customer": customer.id,
            "invoice": invoice.id,
            "amount": amount,
            "currency": currency.lower(),
            "description": deal["dealname"],
        })
        self.billing.invoices.finalize_invoice(invoice.id)
        log.info("deal %s is billed by invoice %s", deal_id, invoice.id)

    def customer(self, deal):
        known = self.billing.customers.list({"email": deal["billing_email"], "limit": 1}).data
        if known:
            return known[0]
        return self.billing.customers.create({"email": deal["billing_email"], "name": deal["billing_name"]})


class Receiver(BaseHTTPRequestHandler):
    invoicer = secret = public_url = None

    def do_GET(self):
        self.answer(200 if self.path == "/healthz" else 404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if not self.signed(body):
            return self.answer(401)
        try:
            self.invoicer.take(json.loads(body))
        except Exception:
            log.exception("a delivery failed; HubSpot will send it again")
            return self.answer(500)
        self.answer(204)

    def signed(self, body):
        try:
            return Signature.is_valid(
                signature=self.headers.get("x-hubspot-signature-v3", ""),
                client_secret=self.secret,
                request_body=body.decode(),
                http_uri=self.public_url,
                signature_version="v3",
                timestamp=self.headers.get("x-hubspot-request-timestamp"),
            )
        except InvalidSignatureTimestampError:
            return False

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    env = os.environ
    crm = HubSpot(
        env["HUBSPOT_URL"], env["HUBSPOT_CLIENT_ID"], env["HUBSPOT_CLIENT_SECRET"], env["HUBSPOT_REFRESH_TOKEN"]
    )
    billing = stripe.StripeClient(env["STRIPE_API_KEY"], base_addresses={"api": env["STRIPE_URL"]}).v1
    Receiver.invoicer = Invoicer(crm, billing)
    Receiver.secret, Receiver.public_url = env["HUBSPOT_WEBHOOK_SECRET"], env["PUBLIC_URL"]
    ThreadingHTTPServer(("127.0.0.1", int(env["PORT"])), Receiver).serve_forever()


if __name__ == "__main__":
    main()
