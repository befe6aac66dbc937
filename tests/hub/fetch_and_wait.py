"""A process that fetches what it is told, for tests that kill it: `fetch_and_wait.py SOURCE_AS_JSON URL SHA256`.

Prints "STAGE DONE_BYTES NOTE" for every progress event, then "ready PATH".
"""

from __future__ import annotations

import json
import sys

from localchat.hub import package_index
from localchat.hub.catalogue import PackageSource
from localchat.hub.package_index import PackageDownload
from localchat.hub.pip_client import Resolved

if __name__ == "__main__":
    found = Resolved(*sys.argv[2:])
    package_index.pip_resolve = lambda *_, **__: found  # type: ignore[assignment]  # what pip says depends on its version
    source = PackageSource(**json.loads(sys.argv[1]))
    with PackageDownload(source, on_progress=lambda p: print(p.stage, p.done, p.note, flush=True)) as download:
        print("ready", download.fetch(), flush=True)
