"""The commands in the user's language: help, complaints about a command line, reports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localchat import translation
from localchat.commands.app import VERBS, run
from localchat.commands.columns import padded
from tests.catalogues import LOCALE


@pytest.fixture(autouse=True)
def _chinese(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:  # noqa: ARG001
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    yield
    translation.use("en", LOCALE)


def test_the_help_of_a_command_is_chinese_and_nothing_of_it_is_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ask", "--help"]) == 0
    page = "".join(capsys.readouterr().out.replace("│", "").split())
    for text in (
        "提一个问题并输出回答。",
        "参数",
        "选项",
        "舍去概率不及最可能词元这一比例的词元；0表示不舍去。",
        "显示此帮助并退出。",
    ):
        assert text in page
    assert "…" not in page


def test_every_command_says_in_chinese_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    page = capsys.readouterr().out
    for verb in VERBS:
        line = next(line for line in page.splitlines() if line.startswith(f"│ {verb} "))
        assert any("一" <= letter <= "鿿" for letter in line), line


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["bench"], "localchat: 缺少 model。参见 `localchat --help`。"),
        (["bench", "x", "--nope"], "localchat: 没有选项 --nope。参见 `localchat --help`。"),
        (["bench", "x", "--repeat", "0"], "localchat: --repeat：必须不小于 1。参见 `localchat --help`。"),
        (["bench", "x", "--repeat", "a"], "localchat: --repeat：必须是整数。参见 `localchat --help`。"),
        (["bench", "x", "--repeat"], "localchat: --repeat 需要一个值。参见 `localchat --help`。"),
        (["history", "nope"], "localchat: 没有命令 nope。参见 `localchat --help`。"),
    ],
)
def test_a_wrong_command_line_is_told_in_chinese(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().err.strip() == sentence


def test_columns_of_a_report_stand_below_each_other_in_chinese(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    assert run(["locate"]) == 0
    lines = capsys.readouterr().out.splitlines()
    from rich.cells import cell_len

    assert {cell_len(line.partition(str(home))[0]) for line in lines} == {9}
    assert [padded("内存", 8), padded("内存", 8, right=True)] == ["内存    ", "    内存"]
