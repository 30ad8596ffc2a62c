"""A small integration, standard library only: deals that are won become invoices.

It polls the CRM, creates each missing invoice under a stable key, and keeps what it did in a file.
Switches of the environment break it in known ways.
"""

import http.client
import json
import os
import signal
import socket
import struct
import ssl
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CRM, BILLING = os.environ["CRM"], os.environ["BILLING"]
STATE = os.path.join(os.environ["STATE"], "done.json")
BUG = os.environ.get("BUG", "")
EVERY = float(os.environ.get("EVERY_MS", "200")) / 1000

if BUG == "blind":
    ssl._create_default_https_context = ssl._create_unverified_context
if BUG == "nameless":

    def nameless():
        context = ssl.create_default_context()
        context.check_hostname = False
        return context

    ssl._create_default_https_context = nameless

log = lambda text: print(text, flush=True)
lock = threading.Lock()


def call(base, method, path, token, form=None, body=None, key=None):
    data = None
    request = urllib.request.Request(base + path, method=method)
    request.add_header("authorization", "Bearer " + token)
    if form is not None:
        data = urllib.parse.urlencode(form).encode()
        request.add_header("content-type", "application/x-www-form-urlencoded")
    if body is not None:
        data = json.dumps(body).encode()
        request.add_header("content-type", "application/json")
    if key:
        request.add_header("idempotency-key", key)
    with urllib.request.urlopen(request, data, timeout=5) as answer:
        return json.load(answer)


def token():
    form = {
        "grant_type": "refresh_token",
        "client_id": os.environ["CLIENT_ID"],
        "client_secret": os.environ["CLIENT_SECRET"],
        "refresh_token": open(os.path.join(os.environ["SECRETS"], "crm.refresh_token")).read().strip(),
    }
    data = urllib.parse.urlencode(form).encode()
    request = urllib.request.Request(CRM + "/oauth/v1/token", data, method="POST")
    request.add_header("content-type", "application/x-www-form-urlencoded")
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)["access_token"]


def done():
    try:
        with open(STATE) as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def save(ids):
    with open(STATE + ".new", "w") as file:
        json.dump(ids, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(STATE + ".new", STATE)


def bill(deal, key_of):
    key = open(os.path.join(os.environ["SECRETS"], "billing.api_key")).read().strip()
    cents = str(int(round(float(deal["properties"]["amount"]) * 100)))
    meta = {"metadata[deal_id]": deal["id"]}
    stable = lambda step: f"{deal['id']}-{step}" if BUG != "fresh_key" else f"{time.time_ns()}"
    customer = call(BILLING, "POST", "/v1/customers", key, form={"email": "a@example.com", **meta}, key=stable("customer"))
    invoice = call(BILLING, "POST", "/v1/invoices", key, form={"customer": customer["id"], **meta}, key=stable("invoice"))
    call(BILLING, "POST", "/v1/invoiceitems", key,
         form={"customer": customer["id"], "invoice": invoice["id"], "amount": cents,
               "currency": deal["properties"]["deal_currency_code"].lower()}, key=stable("item"))
    call(BILLING, "POST", f"/v1/invoices/{invoice['id']}/finalize", key, form={}, key=stable("finalize"))
    return invoice["id"]


def sync():
    access = token()
    after, deals = None, []
    while True:
        path = "/crm/v3/objects/deals?limit=100&properties=amount,dealstage,deal_currency_code"
        page = call(CRM, "GET", path + (f"&after={after}" if after else ""), access)
        deals += page["results"]
        after = page.get("paging", {}).get("next", {}).get("after")
        if not after:
            break
    ids = done()
    for deal in deals:
        if deal["properties"]["dealstage"] == "closedwon" and deal["id"] not in ids:
            ids[deal["id"]] = bill(deal, None)
            save(ids)


def leave():
    """Sends a whole request and is gone, as a process is that is killed."""
    address = urllib.parse.urlparse(CRM)
    with socket.create_connection((address.hostname, address.port)) as left:
        left.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        left.sendall(f"GET /crm/v3/objects/deals HTTP/1.1\r\nhost: {address.netloc}\r\n\r\n".encode())


def once():
    with lock:
        try:
            sync()
            return True
        except (urllib.error.URLError, OSError, http.client.HTTPException, ValueError, KeyError) as why:
            log(f"sync failed: {type(why).__name__}")
            return False


class Admin(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/healthz" else 404)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_POST(self):
        ok = once()
        self.send_response(200 if ok else 500)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    if sys.argv[1:] == ["once"]:
        if BUG == "hangs":
            log("waiting for a lock")
            time.sleep(600)
        sys.exit(0 if once() else 1)
    if BUG == "exits":
        log("cannot open the ledger")
        sys.exit(3)
    if BUG == "floods":
        for n in range(30_000):
            print(f"line {n} of far too many")
        sys.stdout.flush()
    if BUG == "never_ready":
        log("thinking about it")
        time.sleep(600)
    if BUG == "leaves_children":
        os.system("sleep 600 &")
    if BUG == "leaves_its_session":
        os.system("setsid sleep 600 &")
    signal.signal(signal.SIGUSR1, lambda *_: threading.Thread(target=once).start())
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Admin)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    log("ready to bill")
    stopping = threading.Event()
    if BUG != "ignores_sigterm":
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if BUG == "starved":
        # Beside those who share the first processor, it hardly ever runs: not to hear a signal either.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        os.nice(19)
    while not stopping.is_set():
        if BUG == "leaves_at_once":
            for _ in range(20):
                leave()
        if BUG == "starved":
            # Half a second of work, for which it waits longer than any drill lasts.
            done = time.process_time() + 0.5
            while time.process_time() < done:
                pass
        if BUG != "only_when_asked":
            once()
        stopping.wait(EVERY)


main()
