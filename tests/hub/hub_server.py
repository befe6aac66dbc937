"""A model hub on 127.0.0.1 for the tests, with a second server for the bytes, and all the ways they may misbehave."""

from __future__ import annotations

import hashlib
import json
import random
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

REPOSITORY = "someone/Tiny-Model"
COMMITS = {"main": "a" * 40, "v1": "b" * 40}
LARGE = 4096  # bytes from which a file lies on the server of bytes, as in Git LFS

WEIGHTS = random.Random(5).randbytes(400_000)
CHECKPOINT = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b'{"model": {}}',
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"pickle" * 2000,
    "README.md": b"# Tiny",
    "original/consolidated.safetensors": WEIGHTS[:5000],
    "onnx/model.onnx": WEIGHTS[:6000],
}


@dataclass
class HubServer:
    """What is served, how, and what was asked for. Set the fields before the requests come.

    Attributes:
        revisions: for each branch or tag, path to content.
        cuts: each request for bytes uses up one: so many bytes of the body are sent, then the connection ends.
        corrupt: paths whose bytes are wrong.
        sizes, head_sizes: paths whose size is another than the true one in the listing, or at the file's address.
        other_etags: paths whose address has another hash than the listing.
        answer: instead of any listing.
        gated: whether files need a token of `granted`. private: whether even the listing does.
        tokens: those that exist.
        pause_s: between 8 KiB and the next.
        expire_after: an address of bytes serves so many requests and then answers 403; 0 is for ever.
        refuse: HTTP status for every request of bytes. busy: so many answers of the hub are HTTP 503 first.
        ranges: whether Range is honoured.
        asked: path and Range header of every request for bytes. listings: the Authorization header of every listing.
        leaked: Authorization headers that reached the server of bytes.
        sent: bytes of bodies that were sent, by path.
    """

    revisions: dict[str, dict[str, bytes]]
    cuts: list[int] = field(default_factory=list)
    corrupt: set[str] = field(default_factory=set)
    sizes: dict[str, int] = field(default_factory=dict)
    head_sizes: dict[str, int] = field(default_factory=dict)
    other_etags: set[str] = field(default_factory=set)
    gated: bool = False
    private: bool = False
    tokens: set[str] = field(default_factory=set)
    granted: set[str] = field(default_factory=set)
    expire_after: int = 0
    refuse: int = 0
    busy: int = 0
    ranges: bool = True
    pause_s: float = 0.0
    answer: bytes | None = None
    card: dict[str, str] = field(default_factory=lambda: {"license": "apache-2.0"})
    asked: list[tuple[str, str]] = field(default_factory=list)
    listings: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._addresses: dict[str, tuple[str, bytes, int]] = {}
        self._bytes = _start(_bytes_handler(self))
        self._hub = _start(_hub_handler(self))

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._hub.server_address[1]}"

    def close(self) -> None:
        for server in (self._hub, self._bytes):
            server.shutdown()
            server.server_close()

    def ranges_of(self, path: str) -> list[int]:
        """Where each request for the bytes of `path` began."""
        starts = [re.fullmatch(r"bytes=(\d+)-", wanted) for asked, wanted in self.asked if asked == path]
        return [int(found[1]) if found else 0 for found in starts]

    def address_of(self, path: str, content: bytes) -> str:
        """A new address for these bytes, as a signed one is."""
        key = f"{len(self._addresses):06d}"
        self._addresses[key] = (path, content, 0)
        return f"http://127.0.0.1:{self._bytes.server_address[1]}/{key}"

    def open_address(self, key: str) -> tuple[str, bytes] | None:
        """What lies there; None when the address has ended."""
        path, content, used = self._addresses[key]
        self._addresses[key] = (path, content, used + 1)
        return None if self.expire_after and used >= self.expire_after else (path, content)


def _start(handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


def _git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def reply(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body_of(self, hub: HubServer, path: str, content: bytes) -> None:
        """Bytes with ranges, cuts and lies."""
        hub.asked.append((path, wanted := self.headers.get("Range", "")))
        if hub.refuse:
            return self.reply(hub.refuse, {})
        content = content[::-1] if path in hub.corrupt else content
        found = re.fullmatch(r"bytes=(\d+)-", wanted)
        start = int(found[1]) if found and hub.ranges else 0
        if start and start >= len(content):
            return self.reply(416, {"Content-Range": f"bytes */{len(content)}"})
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", f'"node-{len(hub.asked)}"')  # another node of the network each time
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        if hub.cuts:
            body = body[: hub.cuts.pop(0)]
            self.close_connection = True
        for i in range(0, len(body), 8192):
            hub.sent[path] = hub.sent.get(path, 0) + len(body[i : i + 8192])
            try:
                self.wfile.write(body[i : i + 8192])
            except OSError:  # the client has gone
                break
            time.sleep(hub.pause_s)
        return None


def _bytes_handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(_Quiet):
        def do_GET(self) -> None:
            if token := self.headers.get("Authorization"):
                hub.leaked.append(token)
            found = hub.open_address(self.path.lstrip("/"))
            if found is None:
                return self.reply(403, {})
            return self.body_of(hub, *found)

    return Handler


def _hub_handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(_Quiet):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            if hub.busy > 0:
                hub.busy -= 1
                return self.reply(503, {})
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if token and token not in hub.tokens:
                return self.reply(401, {"X-Error-Message": "Invalid credentials in Authorization header"})
            path = unquote(urlsplit(self.path).path)
            if found := re.fullmatch(rf"/api/models/{REPOSITORY}(?:/revision/(.+))?", path):
                hub.listings.append(token)
                if hub.private and token not in hub.granted:
                    return self.reply(401, {"X-Error-Code": "RepoNotFound"})
                return self._listing(found[1] or "main")
            if found := re.fullmatch(rf"/{REPOSITORY}/resolve/([^/]+)/(.+)", path):
                return self._resolve(token, found[1], found[2])
            return self.reply(401 if not token else 404, {"X-Error-Code": "RepoNotFound"})

        def _listing(self, revision: str) -> None:
            if hub.answer is not None:
                return self.reply(200, {"Content-Type": "application/json"}, hub.answer)
            if revision not in hub.revisions:
                return self.reply(404, {"X-Error-Code": "RevisionNotFound"})
            siblings: list[dict[str, Any]] = []
            for path, content in hub.revisions[revision].items():
                size = hub.sizes.get(path, len(content))
                entry: dict[str, Any] = {"rfilename": path, "size": size, "blobId": _git_sha1(content)}
                if len(content) >= LARGE:
                    digest = hashlib.sha256(content).hexdigest()
                    entry["lfs"] = {"sha256": digest, "size": size, "pointerSize": 134}
                siblings.append(entry)
            facts = {
                "id": REPOSITORY,
                "sha": COMMITS[revision],
                "siblings": siblings,
                "tags": [],
                "cardData": hub.card,
            }
            return self.reply(200, {"Content-Type": "application/json"}, json.dumps(facts).encode())

        def _resolve(self, token: str, revision: str, path: str) -> None:
            if hub.gated and token not in hub.granted:
                return self.reply(403 if token else 401, {"X-Error-Code": "GatedRepo"})
            revision = next(name for name, commit in COMMITS.items() if revision in (name, commit))
            if path not in hub.revisions[revision]:
                return self.reply(404, {"X-Error-Code": "EntryNotFound"})
            content = hub.revisions[revision][path]
            size = str(hub.head_sizes.get(path, len(content)))
            about = {"X-Repo-Commit": COMMITS[revision], "ETag": f'"{_git_sha1(content)}"'}
            if len(content) >= LARGE:
                told = content[::-1] if path in hub.other_etags else content
                about |= {"X-Linked-ETag": f'"{hashlib.sha256(told).hexdigest()}"', "X-Linked-Size": size}
                return self.reply(302, {**about, "Location": hub.address_of(path, content)})
            if self.command == "HEAD":
                return self.reply(200, {**about, "Content-Length": size})
            return self.body_of(hub, path, content)

    return Handler
