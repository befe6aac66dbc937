"""A TOML file as the user wrote it: which line holds which key, and one value changed while all else stays.

`tomllib` reads values and forgets places. A statement here is the shortest run of lines that `tomllib` accepts, so
strings, comments and escapes need no parser of our own.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]
"""Where a value is: ("theme",) or ("sampling", "top_k")."""
Value = str | bool | int | float


@dataclass(frozen=True, slots=True)
class Statement:
    """One `key = value` or `[table]`.

    Attributes:
        first, last: its lines, from 1, both included.
        values: what it sets, by full path; nothing for a `[table]`.
        table: the table that it stands in or opens.
    """

    first: int
    last: int
    values: dict[Path, Any]
    table: Path
    is_header: bool

    def concerns(self, path: Path) -> bool:
        """Whether it sets the value or table at `path`, or something under it."""
        places = [self.table] if self.is_header else list(self.values)
        return any(place[: len(path)] == path for place in places)


def statements(text: str) -> Iterator[Statement]:
    """The statements of a valid TOML text, in order. Comments and empty lines belong to none."""
    lines = _lines(text)
    table: Path = ()
    first = 0
    while first < len(lines):
        stripped = lines[first].strip()
        if not stripped or stripped.startswith("#"):
            first += 1
            continue
        last, tree = _shortest(lines, first)
        is_header = stripped.startswith("[")
        if is_header:
            table = _header(tree)
        values = {} if is_header else {table + path: value for path, value in _leaves(tree)}
        yield Statement(first + 1, last + 1, values, table, is_header)
        first = last + 1


def line_of(text: str, path: Path) -> int:
    """The line (from 1) where the value or table at `path` is set; 1 when nothing sets it."""
    return next((statement.first for statement in statements(text) if statement.concerns(path)), 1)


def set_value(text: str, path: Path, value: Value, comment: str) -> str:
    """The valid TOML text with one value set; everything else stays as it is.

    Args:
        path: ("key",) or ("table", "key").
        comment: one line, written above the key when the key is new.
    """
    lines = _lines(text)
    _expand_inline_table(lines, path[:-1])
    found = list(statements("\n".join(lines)))
    here = next((s for s in found if path in s.values), None)
    if here is None:
        _insert(lines, found, path, value, comment)
    else:
        old = "\n".join(lines[here.first - 1 : here.last])
        start, end = _value_span(old)
        lines[here.first - 1 : here.last] = (old[:start] + toml_value(value) + old[end:]).split("\n")
    return _text(lines, like=text)


def remove_value(text: str, path: Path, comments: Collection[str]) -> str:
    """The text without that value, and without the line above it if that is one of the comments `set_value` wrote."""
    lines = _lines(text)
    _expand_inline_table(lines, path[:-1])
    here = next((s for s in statements("\n".join(lines)) if path in s.values), None)
    if here is None:
        return text
    first = here.first - 1
    if first and lines[first - 1].strip().removeprefix("# ") in comments:
        first -= 1
    if first and not lines[first - 1].strip() and not "".join(lines[here.last : here.last + 1]).strip():
        first -= 1  # one empty line between neighbours is enough
    del lines[first : here.last]
    return _text(lines, like=text)


def remove_table(text: str, name: str) -> str:
    """The text without everything that sets the table or something under it, and the comments right above that."""
    lines = _lines(text)
    concerned = [statement for statement in statements("\n".join(lines)) if statement.concerns((name,))]
    for statement in reversed(concerned):
        first = statement.first - 1
        while first and lines[first - 1].startswith("#"):
            first -= 1
        del lines[first : statement.last]
    return _text(["\n".join(lines).strip(), ""], like=text) if concerned else text


def toml_value(value: Value) -> str:
    """The value as TOML; text of several lines as a multi-line string, so that people can edit it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value)
    # All of JSON's escapes are TOML's too; JSON leaves out only the one for DEL.
    quoted = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if "\n" not in value:
        return quoted
    parts = (part.replace("\\n", "\n") for part in quoted[1:-1].split("\\\\"))  # "\\\\n" is no line break
    return '"""\n' + "\\\\".join(parts) + '"""'


def header(table: str) -> str:
    """The line that opens a table."""
    return f"[{_key((table,))}]"


def _key(path: Path) -> str:
    """The path as TOML writes it, a part in quotes where it has to be."""
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else toml_value(part) for part in path)


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").split("\n")


def _text(lines: list[str], like: str) -> str:
    return ("\r\n" if "\r\n" in like else "\n").join(lines)


def _leaves(tree: dict[str, Any], at: Path = ()) -> Iterator[tuple[Path, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*at, key))
        else:
            yield (*at, key), value


def _shortest(lines: list[str], first: int) -> tuple[int, dict[str, Any]]:
    for last in range(first, len(lines)):
        try:
            return last, tomllib.loads("\n".join(lines[first : last + 1]))
        except tomllib.TOMLDecodeError:
            continue
    raise ValueError("not a valid TOML text")


def _header(tree: Any) -> Path:
    """("a", "b") of what `[a.b]` or `[[a.b]]` parses to."""
    path: Path = ()
    while tree:
        key = next(iter(tree))
        path, tree = (*path, key), tree[key]
        if isinstance(tree, list):
            tree = tree[-1]
    return path


def _value_span(statement: str) -> tuple[int, int]:
    """Where the value of `key = value # comment` begins and ends. The key is one of ours: without a = in it."""
    tree = tomllib.loads(statement)
    comment = next((i for i, char in enumerate(statement) if char == "#" and _reads_as(statement[:i], tree)), None)
    body = statement[:comment].rstrip()
    start = body.index("=") + 1
    return start + len(body[start:]) - len(body[start:].lstrip()), len(body)


def _reads_as(text: str, tree: dict[str, Any]) -> bool:
    try:
        return tomllib.loads(text) == tree
    except tomllib.TOMLDecodeError:
        return False


def _expand_inline_table(lines: list[str], table: Path) -> None:
    """Turn `table = { a = 1, b = 2 }` into `table.a = 1` and `table.b = 2`, whose values can be changed singly."""
    for statement in statements("\n".join(lines)):
        inline = table and not statement.is_header and statement.table == () and statement.concerns(table)
        old = "\n".join(lines[statement.first - 1 : statement.last])
        if inline and old.split("=", 1)[0].strip().strip("\"'") == table[0]:
            comment = old[_value_span(old)[1] :].strip()
            dotted = [f"{_key(p)} = {toml_value(v)}" for p, v in statement.values.items() if p != table]
            lines[statement.first - 1 : statement.last] = ([comment] if comment else []) + dotted
            return


def _insert(lines: list[str], found: list[Statement], path: Path, value: Value, comment: str) -> None:
    """Add a key at the end of its table; the table is made at the end of the text if it is not there."""
    table, key = path[:-1], _key(path[-1:])
    neighbours = [s for s in found if s.table == table or (s.table == () and s.concerns(table))]
    before: list[str] = []
    if neighbours:
        at = neighbours[-1].last
        if table and neighbours[-1].table == ():
            key = _key(path)  # its neighbours are written so, and a [table] beside them would be an error
    elif not table and found:  # the first key without a table goes above the first table and its comment
        at = found[0].first - 1
        while at and lines[at - 1].startswith("#"):
            at -= 1
    else:
        while lines and not lines[-1].strip():
            lines.pop()
        at = len(lines)
        lines.append("")
        before = [header(table[0])] if table else []
    block = [*before, f"# {comment}", *f"{key} = {toml_value(value)}".split("\n")]
    if at and lines[at - 1].strip() and not (neighbours and neighbours[-1].is_header):
        block.insert(0, "")
    if at < len(lines) and lines[at].strip():
        block.append("")
    lines[at:at] = block
