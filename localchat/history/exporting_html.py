"""A conversation as one web page that needs nothing else: light and dark, printable, and deaf to what is in it.

Text of models and users is never markup here: HTML in it is shown as it was written, and addresses of scripts are no
links. Should something slip through, the page's own policy lets no script run and nothing be loaded from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping, Sequence
from functools import cache
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from localchat import paths
from localchat.history.exporting_markdown import author, ending, moment
from localchat.history.records import Conversation, StoredMessage
from localchat.translation import _

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

# Controls mean nothing in a page, and overriding direction marks make text read differently from what it says.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def as_html(conversation: Conversation, branch: Sequence[StoredMessage]) -> str:
    """The branch on show as a page."""
    title = escape(_seen(conversation.title))
    language = _language("".join(message.content for message in branch))
    parts = [
        f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{title}</title>\n<style>\n{_style()}</style>\n</head>\n<body>\n<main>",
        f'<h1 dir="auto">{title}</h1>\n<p class="facts">{moment(conversation.created_at)}</p>',
    ]
    if conversation.system_prompt:
        parts.append(_folded(_("System prompt"), conversation.system_prompt))
    parts += [_article(message) for message in branch]
    return "\n".join([*parts, "</main>\n</body>\n</html>\n"])


def _article(message: StoredMessage) -> str:
    name, when = escape(_seen(author(message))), moment(message.created_at)
    parts = [f'<article class="{message.role}">', f"<header><b>{name}</b><time>{when}</time></header>"]
    parts += [f'<span class="file">{escape(_seen(file["name"]))}</span>' for file in message.attachments]
    if message.thinking.strip():
        parts.append(_folded(_("Thoughts"), message.thinking))
    if message.content.strip():
        by_model = message.role == "assistant"
        body = _markdown().render(_seen(message.content)) if by_model else escape(_seen(message.content.strip("\n")))
        parts.append(f'<div class="text" dir="auto">{body}</div>')
    if note := ending(message):
        parts.append(f'<p class="note">{escape(_seen(note))}</p>')
    return "\n".join([*parts, "</article>"])


def _folded(summary: str, text: str) -> str:
    return f'<details><summary>{escape(summary)}</summary><div dir="auto">{escape(_seen(text.strip()))}</div></details>'


def _seen(text: str) -> str:
    return _UNSEEN.sub("", text.replace("\r\n", "\n"))


def _language(text: str) -> str:
    """What browsers choose the shapes of Han characters by."""
    if re.search("[\u3040-\u30ff]", text):
        return "ja"
    if re.search("[\uac00-\ud7a3]", text):
        return "ko"
    return "zh" if re.search("[\u4e00-\u9fff]", text) else "en"


def _may_be_linked(address: str) -> bool:
    """Addresses that a browser opens itself; others start programs."""
    return re.match(r"https?:|mailto:|[^:]*$", address.strip().lower()) is not None


@cache
def _markdown() -> MarkdownIt:
    """CommonMark with tables and strikethrough; HTML in the text is text."""
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    setattr(parser, "validateLink", _may_be_linked)  # noqa: B010  the library's own way to replace a method
    parser.add_render_rule("fence", _code)
    parser.add_render_rule("code_block", _code)
    parser.add_render_rule("image", _image)
    parser.add_render_rule("link_open", _link)
    return parser


def _code(
    _renderer: RendererProtocol,
    tokens: Sequence[Token],
    index: int,
    _options: Mapping[str, Any],
    _env: MutableMapping[str, Any],
) -> str:
    token = tokens[index]
    name = (token.info.split() or [""])[0]
    caption = f"<figcaption>{escape(name)}</figcaption>" if name else ""
    return f'<figure>{caption}<pre><code class="code">{_coloured(token.content, name)}</code></pre></figure>\n'


def _coloured(code: str, name: str) -> str:
    try:
        lexer = get_lexer_by_name(name, stripnl=False)
    except ClassNotFound:
        return escape(code)
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))


def _image(
    _renderer: RendererProtocol,
    tokens: Sequence[Token],
    index: int,
    _options: Mapping[str, Any],
    _env: MutableMapping[str, Any],
) -> str:
    """A picture from elsewhere would tell its server who reads this; its address is a link instead."""
    token = tokens[index]
    address = str(token.attrs.get("src", ""))
    return f'<a href="{escape(address)}" rel="noopener noreferrer">{escape(token.content or address)}</a>'


def _link(
    renderer: Any,
    tokens: Sequence[Token],
    index: int,
    options: Mapping[str, Any],
    env: MutableMapping[str, Any],
) -> str:
    tokens[index].attrSet("rel", "noopener noreferrer")
    return str(renderer.renderToken(tokens, index, options, env))


@cache
def _style() -> str:
    page = (paths.assets_dir() / "export.css").read_text(encoding="utf-8")
    light, dark = (HtmlFormatter(style=style).get_style_defs(".code") for style in ("friendly", "github-dark"))
    return page + _without_ground(light) + "@media (prefers-color-scheme: dark) {\n" + _without_ground(dark) + "}\n"


def _without_ground(rules: str) -> str:
    """Colours of words only: the page has its own ground, and marks no errors in code that was cut off."""
    kept = [line for line in rules.splitlines() if re.match(r"\.code \.(?!err)\w+ \{", line)]
    return "\n".join(re.sub(r"background-color: [^;}]+;?", "", line) for line in kept) + "\n"
