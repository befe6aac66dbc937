"""A package index on 127.0.0.1 for the tests: one package, one wheel, and all the ways a server may misbehave."""

from __future__ import annotations

import hashlib
import io
import random
import re
import threading
import time
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PACKAGE = "tiny-model"
VERSION = "1.0"
WHEEL = "tiny_model-1.0-py3-none-any.whl"
METADATA = b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"


def model_bytes(size: int = 600_000) -> bytes:
    """Bytes that do not compress, as weights do not."""
    return random.Random(7).randbytes(size)


def make_wheel(members: dict[str, bytes]) -> bytes:
    """A wheel of PACKAGE with `members` beside its metadata."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr("tiny_model-1.0.dist-info/METADATA", METADATA)
        archive.writestr(
            "tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    return out.getvalue()


@dataclass
class IndexServer:
    """What is served, how, and what was asked for. Set the fields before the requests come.

    Attributes:
        cuts: each request for the wheel uses up one: so many bytes of the body are sent, then the connection ends.
        bytes_per_second: of the wheel's body; 0 is as fast as it goes.
        ranges: whether Range is honoured. shift: begin ranges so many bytes too late, and say so.
        refuse: HTTP status for every request of the wheel.
        announced: SHA-256 in the index page, when not the true one.
        chunked: no Content-Length.
        asked: the Range header of every request for the wheel ("" without one).
    """

    wheel: bytes
    cuts: list[int] = field(default_factory=list)
    bytes_per_second: int = 0
    ranges: bool = True
    shift: int = 0
    refuse: int = 0
    announced: str = ""
    chunked: bool = False
    etag: str = '"one"'
    asked: list[str] = field(default_factory=list)
    sent: int = 0

    def __post_init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def wheel_url(self) -> str:
        return f"{self.root}/files/{WHEEL}"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.wheel).hexdigest()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(index: IndexServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            if self.path == f"/simple/{PACKAGE}/":
                metadata = hashlib.sha256(METADATA).hexdigest()
                self._whole(
                    f'<!DOCTYPE html><a href="/files/{WHEEL}#sha256={index.announced or index.sha256}" '
                    f'data-dist-info-metadata="sha256={metadata}">{WHEEL}</a>'.encode(),
                    "text/html",
                )
            elif self.path == f"/files/{WHEEL}.metadata":
                self._whole(METADATA, "application/octet-stream")
            elif self.path == f"/files/{WHEEL}":
                self._wheel()
            else:
                self.send_error(404)

        def _whole(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _wheel(self) -> None:
            wanted = self.headers.get("Range", "")
            index.asked.append(wanted)
            if index.refuse:
                self.send_error(index.refuse)
                return
            size = len(index.wheel)
            start = 0
            found = re.fullmatch(r"bytes=(\d+)-", wanted)
            if found and index.ranges and self.headers.get("If-Range", index.etag) == index.etag:
                start = int(found[1]) + index.shift
                if start >= size:
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{size}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            else:
                self.send_response(200)
            self.send_header("ETag", index.etag)
            if index.chunked:
                self.send_header("Connection", "close")
            else:
                self.send_header("Content-Length", str(size - start))
            self.end_headers()
            self._body(index.wheel[start:])

        def _body(self, body: bytes) -> None:
            cut = index.cuts.pop(0) if index.cuts else None
            body = body[:cut]
            step = 8192
            try:
                for i in range(0, len(body), step):
                    self.wfile.write(body[i : i + step])
                    index.sent += len(body[i : i + step])
                    if index.bytes_per_second:
                        time.sleep(step / index.bytes_per_second)
            except OSError:  # the client has gone
                pass
            if cut is not None or index.chunked:
                self.close_connection = True

    return Handler
