"""Markdown that comes in pieces, from a model that is not to be trusted."""

from __future__ import annotations

import random
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.widget import Widget

from localchat.ui.widgets.reply_markdown import CodeBlock, ReplyMarkdown, TableContent

PIECES = (
    "# Head\n", "| a | b |\n|---|---|\n", "| 1 | [/x] |\n", "text ", "**bo", "ld** ", "`co", "de` ", "\n", "\n\n",
    "```py", "thon\n", "def f():\n    pass\n", "```\n", "- item\n", "  - sub\n", "1. one\n", "> quote\n", "---\n",
    "中文。", "[l](http://x/'\")", "![i](u)", "<b>h</b>", "[red]", "[/]", "\\", "|",
)  # fmt: skip


class Page(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []

    def compose(self) -> ComposeResult:
        yield ReplyMarkdown()

    def open_url(self, url: str, *, new_tab: bool = True) -> None:  # noqa: ARG002
        self.opened.append(url)


def kinds(widget: Widget) -> list[Any]:
    return [(type(child).__name__, kinds(child)) for child in widget.children]


@pytest.mark.parametrize("seed", range(6))
async def test_reading_in_pieces_gives_the_same_blocks_as_reading_at_once(seed: int) -> None:
    chosen = random.Random(seed)
    pieces = [chosen.choice(PIECES) for _ in range(25)]
    app = Page()
    async with app.run_test() as pilot:
        streamed = app.query_one(ReplyMarkdown)
        for piece in pieces:
            streamed.write(piece)
            await pilot.pause()
        await streamed.finish()
        whole = ReplyMarkdown("".join(pieces))
        await app.screen.mount(whole)
        await pilot.pause()
        assert streamed.source == whole.source
        assert len(streamed.children) == len(whole.children)


async def test_the_name_of_a_language_may_come_in_pieces() -> None:
    app = Page()
    async with app.run_test() as pilot:
        markdown = app.query_one(ReplyMarkdown)
        for piece in ("```py", "thon title\n", "x = 1\n", "```\n"):
            await markdown.append(piece)
        await pilot.pause()
        assert str(app.query_one(CodeBlock).query_one(".language").render()) == "python"


async def test_line_breaks_of_a_poem_are_kept_and_html_is_text() -> None:
    app = Page()
    async with app.run_test() as pilot:
        await app.query_one(ReplyMarkdown).update("床前明月光，\n疑是地上霜。\n\n<script>x</script>")
        await pilot.pause()
        assert [str(child.render()) for child in app.query_one(ReplyMarkdown).children] == [
            "床前明月光，\n疑是地上霜。",
            "<script>x</script>",
        ]


async def test_a_link_is_not_opened() -> None:
    app = Page()
    async with app.run_test() as pilot:
        await app.query_one(ReplyMarkdown).update("[here](http://example.com)")
        await pilot.pause()
        await pilot.click("MarkdownParagraph", offset=(1, 0))
        await pilot.pause()
        assert app.opened == []


async def test_cells_of_tables_have_no_tooltips_that_would_read_them_as_markup() -> None:
    app = Page()
    async with app.run_test() as pilot:
        markdown = app.query_one(ReplyMarkdown)
        for piece in ("| a |\n|---|\n", "| [/x] |\n", "| [/y] |\n"):
            await markdown.append(piece)
        await pilot.pause()
        cells = list(app.query_one(TableContent).children)
        assert [str(cell.render()) for cell in cells] == ["a", "[/x]", "[/y]"]
        assert all(cell.tooltip is None for cell in cells)
