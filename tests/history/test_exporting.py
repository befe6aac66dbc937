"""Exports: names for any title, Markdown that reads well, a page that nothing in it can hurt, JSON that holds all."""

from __future__ import annotations

import html.parser
import json
from pathlib import Path

import pytest

from localchat.errors import StorageFailed
from localchat.history.exporting import FORMATS, as_json, format_of, rendered, write_each, write_text
from localchat.history.file_names import NAME_BYTES, file_name
from localchat.history.store import HistoryStore
from tests.history.samples import fill


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Plan for Monday", "Plan for Monday.md"),
        ("诗词赏析：静夜思", "诗词赏析：静夜思.md"),
        ('a/b\\c:d*e?f"g<h>i|j', "a b c d e f g h i j.md"),
        ("../../etc/passwd", "etc passwd.md"),
        ("CON", "CON_.md"),
        ("lpt1.txt", "lpt1_.md"),
        ("...", "chat.md"),
        ("", "chat.md"),
        ("\x00\x1b[31mred\u202e", "[31mred.md"),
        ("  spaces\tand\nlines ", "spaces and lines.md"),
        ("What is it? Show me…", "What is it Show me.md"),
        ("👩‍👩‍👧 family", "👩‍👩‍👧 family.md"),
    ],
)
def test_any_title_gives_a_good_file_name(title: str, name: str) -> None:
    assert file_name(title, ".md") == name


def test_a_long_title_is_cut_between_characters() -> None:
    name = file_name("月" * 300, ".html")
    assert len(name.removesuffix(".html").encode()) <= NAME_BYTES
    assert set(name.removesuffix(".html")) == {"月"}


def test_names_that_differ_only_in_case_are_told_apart() -> None:
    assert file_name("Tea", ".md", {"tea.md"}) == "Tea (2).md"
    assert file_name("Tea", ".md", {"tea.md", "tea (2).md"}) == "Tea (3).md"


def test_the_markdown_is_the_branch_on_show(store: HistoryStore) -> None:
    text = rendered(store, fill(store), FORMATS["markdown"])
    assert text.startswith("# 菠萝 & Co.\n\n> Be kind.\n\n## You\n")
    assert "- notes.txt\n" in text
    assert "## tiny\n" in text
    assert "疑是地上霜" in text
    assert "床前明月光" not in text  # another version


def test_a_code_block_that_was_cut_off_does_not_swallow_what_follows(store: HistoryStore) -> None:
    chat = store.create_conversation()
    question = store.add_message(chat.id, None, "user", "Code?")
    reply = store.begin_reply(chat.id, question.id, "tiny")
    store.finish(reply, "````python\nprint(1)\n```", "stopped")
    assert rendered(store, store.conversation(chat.id), FORMATS["markdown"]).endswith("```\n````\n\n*stopped*\n")


HOSTILE = """<script>alert(1)</script> <img src=x onerror=alert(2)> [click](javascript:alert(3)) <javascript:alert(4)>

![pixel](https://tracker.example/p.png "t")

```"><script>alert(5)</script>
</code></pre><script>alert(6)</script>
```

    </figure><script>alert(7)</script>

<a href="x" onclick="alert(8)">a</a> &lt;script&gt; [x](data:text/html;base64,PHNjcmlwdD4=) [y]( "onmouseover=alert(9)")
[z](ms-msdt:/id%20x) <smb:server>
"""


class _Page(html.parser.HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_hostile_text_is_text_in_a_page(store: HistoryStore) -> None:
    chat = store.create_conversation(title=HOSTILE, system_prompt=HOSTILE)
    question = store.add_message(
        chat.id, None, "user", HOSTILE, attachments=[{"name": HOSTILE, "kind": "text", "text": ""}]
    )
    reply = store.begin_reply(chat.id, question.id, HOSTILE)
    store.finish(reply, HOSTILE, "error", error=HOSTILE, thinking=HOSTILE)
    page = _Page(rendered(store, store.conversation(chat.id), FORMATS["html"]))
    for tag, attributes in page.tags:
        assert tag not in ("script", "img", "iframe", "object", "embed", "form", "base", "svg", "link")
        assert not any(name.startswith("on") for name in attributes)
        address = attributes.get("href") or ""
        assert ":" not in address or address.startswith("https://tracker.example/")
    assert (
        page.text.count("alert(1)") == 9
    )  # title, heading, instructions, file, question, name, thoughts, reply, error
    policy = next(a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv"))
    assert policy is not None
    assert "default-src 'none'" in policy


def test_a_page_needs_nothing_from_elsewhere_and_has_colours_for_code(store: HistoryStore) -> None:
    chat = store.create_conversation(title="Code")
    question = store.add_message(chat.id, None, "user", "Show me")
    reply = store.begin_reply(chat.id, question.id, "tiny")
    store.finish(reply, "```python\ndef f():\n    return 1\n```\n\n| a | 中 |\n|---|---|\n| 1 | 2 |\n", "complete")
    text = rendered(store, store.conversation(chat.id), FORMATS["html"])
    assert '<span class="k">def</span>' in text
    assert "<table>" in text
    assert "prefers-color-scheme: dark" in text
    assert 'lang="zh"' in text
    assert not [1 for _tag, attributes in _Page(text).tags if attributes.get("src")]
    assert "url(" not in text and "@import" not in text


def test_controls_and_overriding_marks_do_not_reach_a_page(store: HistoryStore) -> None:
    chat = store.create_conversation(title="x")
    store.add_message(chat.id, None, "user", "a\x00b\x1b[31m\u202ec\ud800")
    text = rendered(store, store.conversation(chat.id), FORMATS["html"])
    assert not set(text) & set("\x00\x1b\u202e\ud800")


def test_the_json_holds_every_branch_and_every_setting(store: HistoryStore) -> None:
    chat = fill(store)
    document = json.loads(as_json(store, [chat], now=5.0))
    assert (document["format"], document["version"], document["exported_at"]) == ("localchat-history", 1, 5.0)
    entry = document["conversations"][0]
    assert entry["title"] == "菠萝 & Co."
    assert entry["sampling"] == {"temperature": 0.5}
    assert entry["options"] == {"context_length": 2048}
    assert [m["content"] for m in entry["messages"]] == [
        "Hello?",
        "Hi.",
        "Good day, and",
        "床前明月光 😀",
        "疑是地上霜",
    ]
    assert entry["messages"][1]["thinking"] == "A greeting."
    assert entry["messages"][2]["status"] == "stopped"
    assert entry["messages"][0]["attachments"][0]["text"] == "pineapple"


def test_every_conversation_gets_a_file_of_its_own_and_none_is_overwritten(store: HistoryStore, tmp_path: Path) -> None:
    for _ in range(2):
        chat = store.create_conversation(title="Same")
        store.add_message(chat.id, None, "user", "x")
    folder = tmp_path / "out"
    first = write_each(store, store.everything(), folder, FORMATS["markdown"])
    again = write_each(store, store.everything(), folder, FORMATS["markdown"])
    assert [path.name for path in first] == ["Same.md", "Same (2).md"]
    assert [path.name for path in again] == ["Same (3).md", "Same (4).md"]


def test_a_file_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageFailed, match="taken"):
        write_text(tmp_path / "taken", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_the_ending_of_a_name_says_the_format() -> None:
    found = [format_of(Path(name)) for name in ("a.md", "a.MARKDOWN", "a.htm", "a.html", "a.json", "a.txt", "a")]
    assert [kind.name if kind else None for kind in found] == [
        "markdown",
        "markdown",
        "html",
        "html",
        "json",
        None,
        None,
    ]
