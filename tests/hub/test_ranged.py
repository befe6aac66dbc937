"""Resumable transfer of one address, from servers that behave and servers that do not."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from index_server import IndexServer

from localchat.errors import DownloadFailed
from localchat.hub.fingerprint import Fingerprint
from localchat.hub.http_answer import NotFetchableError
from localchat.hub.ranged import download
from localchat.hub.transfer_errors import TransferCut


class StoppedError(Exception):
    """What the caller's check raises."""


class Fetch:
    """One target file, and the positions that were reported."""

    def __init__(self, index: IndexServer, folder: Path) -> None:
        self.index = index
        self.target = folder / "wheel.whl"
        self.partial = folder / "wheel.whl.part"
        self.seen: list[int] = []
        self.stop_at: int | None = None

    def check(self) -> None:
        if self.stop_at is not None and self.seen and self.seen[-1] >= self.stop_at:
            raise StoppedError

    def run(self, url: str | None = None, sha256: str | None = None) -> None:
        self.seen.clear()
        download(
            url or self.index.wheel_url,
            self.target,
            fingerprint=Fingerprint("sha256", sha256 or self.index.sha256),
            longest=len(self.index.wheel),
            check=self.check,
            on_bytes=self.seen.append,
            context=ssl.create_default_context(),
            pause_s=0.0,
        )


@pytest.fixture
def fetch(index: IndexServer, tmp_path: Path) -> Fetch:
    return Fetch(index, tmp_path)


def test_a_file_is_fetched_whole_and_nothing_else_is_left(fetch: Fetch, tmp_path: Path) -> None:
    fetch.run()
    assert fetch.target.read_bytes() == fetch.index.wheel
    assert [path.name for path in tmp_path.iterdir()] == ["wheel.whl"]
    assert fetch.index.asked == [""]


def test_a_stopped_transfer_continues_from_the_bytes_that_are_there(fetch: Fetch) -> None:
    fetch.stop_at = 200_000
    with pytest.raises(StoppedError):
        fetch.run()
    kept = fetch.partial.stat().st_size
    assert 200_000 <= kept < len(fetch.index.wheel)

    fetch.stop_at = None
    fetch.run()
    assert fetch.index.asked[1:] == [f"bytes={kept}-"]
    assert fetch.seen[0] == kept
    assert fetch.target.read_bytes() == fetch.index.wheel


def test_cut_connections_are_continued_until_all_is_there(fetch: Fetch) -> None:
    fetch.index.cuts = [100_000, 100_000, 100_000, 100_000, 100_000, 50_000]
    fetch.run()
    assert fetch.target.read_bytes() == fetch.index.wheel
    assert len(fetch.index.asked) == 7
    assert fetch.seen == sorted(fetch.seen), "progress ran backwards"


def test_a_server_that_only_cuts_is_given_up_and_what_came_is_kept(fetch: Fetch) -> None:
    fetch.index.cuts = [1000, *[0] * 20]
    with pytest.raises(DownloadFailed, match="cut"):
        fetch.run()
    assert fetch.partial.read_bytes() == fetch.index.wheel[:1000]


def test_a_server_without_ranges_is_read_from_the_beginning(fetch: Fetch) -> None:
    fetch.index.ranges = False
    fetch.index.cuts = [100_000]
    fetch.run()
    assert fetch.index.asked == ["", "bytes=100000-"]
    assert fetch.target.read_bytes() == fetch.index.wheel


def test_another_file_under_the_same_address_is_never_mixed_with_the_first(fetch: Fetch) -> None:
    fetch.index.cuts = [100_000, 0, 0, 0, 0, 0]
    with pytest.raises(DownloadFailed):
        fetch.run()
    fetch.index.cuts.clear()
    fetch.index.wheel = fetch.index.wheel[::-1]
    with pytest.raises(TransferCut, match="not those"):
        fetch.run()
    fetch.run()
    assert fetch.target.read_bytes() == fetch.index.wheel


def test_an_answer_that_begins_elsewhere_than_asked_is_refused(fetch: Fetch) -> None:
    fetch.partial.write_bytes(fetch.index.wheel[:5000])
    fetch.index.shift = 16
    with pytest.raises(DownloadFailed, match="another part"):
        fetch.run()
    assert fetch.partial.read_bytes() == fetch.index.wheel[:5000]


def test_more_than_expected_is_refused_before_it_is_read(fetch: Fetch) -> None:
    expected = fetch.index.wheel
    fetch.index.wheel = expected + b"x"
    with pytest.raises(DownloadFailed, match="announces"):
        download(
            fetch.index.wheel_url,
            fetch.target,
            fingerprint=Fingerprint("sha256", fetch.index.sha256),
            longest=len(expected),
            check=fetch.check,
            on_bytes=fetch.seen.append,
            context=ssl.create_default_context(),
        )
    assert fetch.seen == []


def test_more_than_expected_is_refused_when_no_size_is_announced(fetch: Fetch) -> None:
    fetch.index.chunked = True
    with pytest.raises(DownloadFailed, match="more than"):
        download(
            fetch.index.wheel_url,
            fetch.target,
            fingerprint=Fingerprint("sha256", fetch.index.sha256),
            longest=50_000,
            check=fetch.check,
            on_bytes=fetch.seen.append,
            context=ssl.create_default_context(),
        )
    assert fetch.partial.stat().st_size <= 50_000


def test_wrong_bytes_are_removed_and_said(fetch: Fetch) -> None:
    with pytest.raises(TransferCut, match="not those"):
        fetch.run(sha256="0" * 64)
    assert not fetch.target.exists()
    assert not fetch.partial.exists()


def test_a_complete_partial_file_needs_no_more_bytes(fetch: Fetch) -> None:
    fetch.partial.write_bytes(fetch.index.wheel)
    fetch.run()
    assert fetch.index.sent == 0
    assert fetch.target.read_bytes() == fetch.index.wheel


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_address_is_left_to_another_client(fetch: Fetch, status: int) -> None:
    fetch.index.refuse = status
    with pytest.raises(NotFetchableError, match=str(status)):
        fetch.run()


@pytest.mark.parametrize("url", ["file:///etc/hostname", "https://user:word@127.0.0.1/x", "ftp://127.0.0.1/x"])
def test_addresses_that_need_another_client_are_not_asked(fetch: Fetch, url: str) -> None:
    with pytest.raises(NotFetchableError):
        fetch.run(url)


def test_a_busy_server_is_asked_again_and_then_given_up(fetch: Fetch) -> None:
    fetch.index.refuse = 503
    with pytest.raises(DownloadFailed, match="503"):
        fetch.run()
    assert len(fetch.index.asked) == 4


def test_a_server_that_is_not_there_is_no_network(fetch: Fetch) -> None:
    fetch.index.close()
    with pytest.raises(DownloadFailed, match="no network") as failed:
        fetch.run()
    assert "Check the connection" in failed.value.hint
