"""What the Python checks share: running them by name, and steering the vendors that are served."""

import http.server
import json
import queue
import sys
import threading
import traceback
import urllib.error
import urllib.request


class Served:
    """The vendors, as the first line of `firedrill serve --format json` tells."""

    def __init__(self, overview):
        self.overview = overview

    def vendor(self, alias):
        return self.overview["vendors"][alias]

    def ask(self, method, path, body=None):
        """Asks the control API; gives the answer as data."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.overview["control"] + path, data=data, method=method)
        with urllib.request.urlopen(request) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def arm(self, on, do, **more):
        self.ask("POST", "/faults", {"on": on, "do": do, **more})

    def disarm(self):
        self.ask("DELETE", "/faults")


class Receiver:
    """Takes webhooks; each is (headers, body as bytes)."""

    def __init__(self):
        taken = self.taken = queue.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(204)
                self.end_headers()
                taken.put((dict(self.headers), body))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks"

    def next(self):
        return self.taken.get(timeout=10)


def expect(kind, call):
    """The exception of `kind` that `call` raises."""
    try:
        got = call()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}, got {got!r}")


def run(checks):
    """Runs each check with the vendors named in the first argument; prints one line each."""
    served = Served(json.loads(sys.argv[1]))
    for check in checks:
        try:
            check(served)
            print(f"ok {check.__name__}", flush=True)
        except BaseException:
            print(f"not ok {check.__name__}", flush=True)
            print("\n".join("  " + line for line in traceback.format_exc().splitlines()), flush=True)
        finally:
            served.disarm()
