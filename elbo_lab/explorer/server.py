"""The server of the explorer: this machine only, and only for the page that it opened.

It listens on 127.0.0.1, and the address holds a secret token: who does not know it is told nothing. The name
in the Host header must be this machine's own, so that no foreign name can be made to point here; a page of
another origin is refused. There is nothing to write: GET is the only method. One frame is computed at a time.
"""

import json
import math
import os
import secrets
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl

from elbo_lab.errors import UserMistake, bad_value
from elbo_lab.explorer import TABS, described, frame_at
from elbo_lab.explorer.shown import Shown
from elbo_lab.plugins import reason_of, told

HOST = "127.0.0.1"
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
JSON = "application/json"
# Nothing from elsewhere, and in no other page.
POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# The lists of the tab `em` are the longest.
LONGEST_QUERY = 4000
MOST_PORT = 65535


class Refused(Exception):
    """A request that gets no answer but a status and one line."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


class Explorer(ThreadingHTTPServer):
    """A server that knows what it shows, its token and its page.

    Parameters
    ----------
    shown : Shown
    port : int, optional
        A free one if 0.
    first : str, optional
        The tab that is open at first.
    skip_predictions : bool, optional

    Raises
    ------
    ValueError
        If the port is none, or is taken.
    """

    daemon_threads = True
    # On Windows the option behind it lets two servers share a port.
    allow_reuse_address = os.name != "nt"

    def __init__(self, shown: Shown, port: int = 0, first: str = "", skip_predictions: bool = False) -> None:
        if not 0 <= port <= MOST_PORT:
            raise bad_value("port", f"a whole number from 0 (any free port) to {MOST_PORT}", port)
        self.shown, self.token, self.one_at_a_time = shown, secrets.token_urlsafe(24), threading.Lock()
        opening = {"first": first or next(iter(TABS)), "skip_predictions": skip_predictions}
        self.tabs = described(shown) | opening
        folder = files("elbo_lab.explorer") / "page"
        self.page = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
        try:
            super().__init__((HOST, port), Handler)
        except OSError as fault:
            remedy = "leave --port out for a free one"
            raise bad_value("port", "a port that is free", f"{port} ({fault.strerror})", remedy) from None

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Say a fault in one line, and nothing of a reader that went away."""
        fault = sys.exception()
        if fault is not None and not isinstance(fault, ConnectionError):
            print(f"elbo-lab explore: {reason_of(fault)}", file=sys.stderr)

    def prepare(self) -> None:
        """Compute, beside the answers, the frames that are slow the first time."""

        def compute() -> None:
            for tab in TABS.values():
                for settings in tab.slow_at_first(self.shown):
                    with self.one_at_a_time:
                        tab.frame(self.shown, settings)

        threading.Thread(target=compute, daemon=True).start()

    def frame_of(self, query: str) -> dict[str, Any]:
        """Return the frame that a query asks for, or raise."""
        if len(query) > LONGEST_QUERY:
            raise Refused(414, f"query: expected at most {LONGEST_QUERY} characters, got {len(query)}")
        asked = dict(parse_qsl(query, keep_blank_values=True))
        tab, take = asked.pop("tab", ""), asked.pop("take", "")
        with self.one_at_a_time, told(f"tab {tab}"):
            return frame_at(tab, self.shown, take, asked)


class Handler(BaseHTTPRequestHandler):
    """Answers one reader."""

    server: Explorer
    protocol_version = "HTTP/1.1"
    server_version = "elbo-lab"
    sys_version = ""
    # An answer leaves at once and in one piece; otherwise the system may hold its second half back for 40 ms.
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 60

    def do_GET(self) -> None:
        """Answer."""
        try:
            status, kind, body = 200, *self._found()
        except Refused as refusal:
            status, kind, body = refusal.status, JSON, in_json({"error": str(refusal)})
        except UserMistake as mistake:
            status, kind, body = 400, JSON, in_json({"error": " ".join(str(mistake).split())})
        self._send(status, kind, body)

    def _refuse_method(self) -> None:
        self.close_connection = True  # what it sends is not read
        self._send(405, JSON, in_json({"error": "expected GET"}), {"Allow": "GET"})

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _refuse_method

    def _found(self) -> tuple[str, bytes]:
        own = {f"{HOST}:{self.server.server_port}", f"localhost:{self.server.server_port}"}
        if self.headers.get("Host") not in own:
            raise Refused(403, "the Host header names another machine")
        origin = self.headers.get("Origin")
        if origin is not None and origin not in {f"http://{name}" for name in own}:
            raise Refused(403, "a page of another origin has no access")
        path, _, query = self.path.partition("?")
        token, _, name = path.removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            raise Refused(403, "the address lacks its token; take the one that elbo-lab explore prints")
        if name == "tabs":
            return JSON, in_json(self.server.tabs)
        if name == "frame":
            return JSON, in_json(self.server.frame_of(query))
        name = name or "index.html"
        if name not in self.server.page:
            raise Refused(404, "there is no such page")
        return KINDS["." + name.rpartition(".")[2]], self.server.page[name]

    def _send(self, status: int, kind: str, body: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        sizes = {"Content-Type": kind, "Content-Length": str(len(body))}
        for key, value in (HEADERS | sizes | (more or {})).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Print nothing for a request."""


def in_json(value: Any) -> bytes:
    """Return JSON with null for what is not finite."""
    return json.dumps(finite(value), allow_nan=False, separators=(",", ":")).encode()


def finite(value: Any) -> Any:
    """Return a copy with None for what is not finite."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
