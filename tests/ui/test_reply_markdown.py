"""Markdown that comes in pieces, from a model that is not to be trusted."""

from __future__ import annotations

import random

import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult

from localchat.ui.reading.lines import text_of, wrap
from localchat.ui.reading.page import Page
from localchat.ui.widgets.reply_markdown import ReplyMarkdown
from localchat.ui.widgets.reply_messages import LinkChosen

PIECES = (
    "# Head\n", "| a | b |\n|---|---|\n", "| 1 | [/x] |\n", "text ", "**bo", "ld** ", "`co", "de` ", "\n", "\n\n",
    "```py", "thon\n", "def f():\n    pass\n", "```\n", "- item\n", "  - sub\n", "1. one\n", "2. two\n", "> quote\n",
    "---\n", "中文。",
    "[l](http://x/'\")", "[l][r]", "[r]: http://y\n", "![i](u)", "<b>h</b>", "[red]", "[/]", "\\", "|",
    "    four\n", "~~~\n", "*", "1", "- [ ] task\n",
)  # fmt: skip


class Shown(App[None]):
    """One reply."""

    CSS = "ReplyMarkdown { height: auto; }"

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.text = text
        self.addresses: list[str] = []

    def compose(self) -> ComposeResult:
        yield ReplyMarkdown(self.text)

    def on_link_chosen(self, event: LinkChosen) -> None:
        self.addresses.append(event.address)


def plain(page: Page, width: int = 40) -> list[str]:
    return [row.content.plain.rstrip() for row in page.rows(width)]


def looks(page: Page, width: int = 40) -> list[tuple[str, list[str]]]:
    return [(row.content.plain, [str(span) for span in row.content.spans]) for row in page.rows(width)]


@pytest.mark.parametrize("seed", range(40))
def test_reading_in_pieces_gives_what_reading_at_once_does(seed: int) -> None:
    chosen = random.Random(seed)
    pieces = [chosen.choice(PIECES) for _ in range(60)]
    page = Page()
    for piece in pieces:
        page.append(piece)
        page.rows(40)
    page.finish()
    assert looks(page) == looks(Page("".join(pieces)))


@pytest.mark.parametrize("seed", range(10))
def test_no_row_is_wider_than_the_window(seed: int) -> None:
    chosen = random.Random(seed)
    text = "".join(chosen.choice([*PIECES, "长长的一句话，没有空格，" * 4, "w" * 50 + " "]) for _ in range(40))
    for width in (12, 33, 80):
        assert max(cell_len(row.content.plain) for row in Page(text).rows(width)) <= width


def test_a_code_block_that_grows_for_long_is_what_it_would_be_at_once() -> None:
    lines = [f"value_{n} = '''{n}'''  # {n}\n" for n in range(200)]
    page = Page()
    page.append("Look:\n\n```python\n")
    for line in lines:
        page.append(line[:7])
        page.append(line[7:])
    assert page.codes[0].code == "".join(lines).rstrip("\n")
    growing = plain(page, 60)
    page.append("```\n\nDone.")
    page.finish()
    assert looks(page, 60) == looks(Page("Look:\n\n```python\n" + "".join(lines) + "```\n\nDone."), 60)
    assert plain(page, 60)[: len(growing) - 1] == growing[:-1]


def test_rows_of_settled_blocks_are_made_once() -> None:
    page = Page("\n\n".join(f"Paragraph {n}" for n in range(50)))
    page.append("\n\nmore")
    before = page.rows(40)
    page.append(" and more")
    after = page.rows(40)
    assert all(old is new for old, new in zip(before[:90], after[:90], strict=True))


def test_the_name_of_a_language_may_come_in_pieces() -> None:
    page = Page()
    for piece in ("```py", "thon title\n", "x = 1\n", "```\n"):
        page.append(piece)
    assert (page.codes[0].language, page.codes[0].code) == ("python", "x = 1")


def test_line_breaks_of_a_poem_are_kept_and_html_is_text() -> None:
    assert plain(Page("床前明月光，\n疑是地上霜。\n\n<script>x</script>")) == [
        "床前明月光，", "疑是地上霜。", "", "<script>x</script>",
    ]  # fmt: skip


def test_chinese_fills_its_rows_and_no_row_begins_with_a_comma() -> None:
    page = Page("汉字之间可以换行了，标点却不能到行首。English words 不拆开。")
    assert plain(page, 18) == ["汉字之间可以换行", "了，标点却不能到行", "首。English words", "不拆开。"]


def test_nested_lists_quotes_and_tasks() -> None:
    text = "- a\n  - b\n    1. c\n- [x] done\n\n> q\n> - in it\n\n9. nine\n10. ten"
    assert plain(Page(text)) == [
        "• a", "  ◦ b", "    1. c", "☑ done", "", "▌ q", "▌", "▌ • in it", "", "9. nine", "10. ten",
    ]  # fmt: skip


def test_a_table_with_chinese_cells_is_aligned() -> None:
    rows = plain(Page("| 城市 | 人口 |\n|---|---:|\n| 北京 | 2,189 |\n| 呼和浩特 | 344 |"))
    assert rows == ["城市        人口", "─" * 16, "北京       2,189", "呼和浩特     344"]


def test_a_table_too_wide_for_the_window_wraps_its_cells_and_then_becomes_names_and_values() -> None:
    table = "| name | remark |\n|---|---|\n| one | a remark of several words that is long |\n"
    wrapped = plain(Page(table), 30)
    assert wrapped[0].split() == ["name", "remark"] and len(wrapped) == 4
    many = "|" + "|".join(f"column{n}" for n in range(8)) + "|\n" + "|---" * 8 + "|\n|" + "value here|" * 8
    assert plain(Page(many), 30)[:2] == ["column0: value here", "column1: value here"]


def test_wrapped_text_can_be_put_together_again() -> None:
    from textual.content import Content

    text = "Some words and 一些没有空格的汉字 mixed,  with two spaces\nand a break."
    assert text_of(wrap(Content(text), 11)) == text


async def test_what_streams_is_on_the_screen_and_stays_when_it_is_finished() -> None:
    app = Shown()
    async with app.run_test() as pilot:
        reply = app.query_one(ReplyMarkdown)
        for piece in ("# Ti", "tle\n\n", "- one\n", "- two\n\n```sh\nls\n"):
            reply.write(piece)
            await pilot.pause()
        await reply.finish()
        await pilot.pause()
        assert [line.text.strip() for line in app.screen._compositor.render_strips()][:7] == [
            "Title", "", "• one", "• two", "", "sh" + " " * 68 + "c copy", "ls",
        ]  # fmt: skip
        assert reply.size.height == len(reply.page.rows(80))


async def test_a_link_is_handed_over_and_not_opened() -> None:
    app = Shown("[here](http://example.com/'%22)")
    opened: list[str] = []
    app.open_url = lambda url, *, new_tab=True: opened.append(url)  # type: ignore[method-assign]  # noqa: ARG005
    async with app.run_test() as pilot:
        await pilot.click(ReplyMarkdown, offset=(1, 0))
        await pilot.pause()
        assert (opened, app.addresses) == ([], ["http://example.com/'%22"])


async def test_another_width_lays_everything_out_anew() -> None:
    app = Shown("word " * 30)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert app.query_one(ReplyMarkdown).size.height == 2
        await pilot.resize_terminal(40, 24)
        await pilot.pause()
        assert app.query_one(ReplyMarkdown).size.height == 4
