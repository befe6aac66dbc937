"""A place where a stranger's chat template can run: no way out, no endless work, no end of memory.

jinja2's immutable sandbox closes the ways to Python's internals, and to changing what it is given. It does not bound
work and memory; this one does:

- every loop turn and every macro call looks at the clock;
- every operation that can make something much larger than its operands (`*`, `**`, `%`, `ljust`, `replace`, `join`,
  and so on) is estimated before it runs;
- every value that a template makes is weighed, so that what is built piece by piece stays bounded too, and so is the
  sum of all that it makes and writes;
- filters are those of a list: the others either serve web pages or cannot be bounded.
"""

from __future__ import annotations

import functools
import json
import re
import string
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from localchat.text.template_guards import Generation, Guards, SafeNamespace
from localchat.translation import _

MAX_WEIGHT = 4_000_000
"""Characters, or elements counted 8 each, that one value may have (or four times the conversation, if that is more)."""
MAX_MADE = 32
"""Times the former: what all values of one rendering may weigh together, those included that are soon forgotten."""
MAX_SECONDS = 5.0
"""A conversation of a thousand messages takes some milliseconds."""
MAX_SOURCE = 256 * 1024
"""Characters of a template; the longest in use have some 30,000."""

_FILTERS = frozenset(
    {
        "abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "groupby",
        "indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max", "min", "reject",
        "rejectattr", "replace", "reverse", "safe", "select", "selectattr", "sort", "string", "title", "trim",
        "truncate", "unique", "upper", "wordcount"
    }
)  # fmt: skip
_STRING_METHODS = frozenset(
    {
        "capitalize", "casefold", "center", "count", "endswith", "expandtabs", "find", "format", "format_map",
        "index", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "islower", "isnumeric", "isspace",
        "istitle", "isupper", "join", "ljust", "lower", "lstrip", "partition", "removeprefix", "removesuffix",
        "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines",
        "startswith", "strip", "swapcase", "title", "upper", "zfill"
    }
)  # fmt: skip
_MAX_INT_BITS = 4096
_WIDE = re.compile(r"\d{4}")
_WIDE_PERCENT = re.compile(r"%[^A-Za-z%]*?(?:\d{4}|\*)")  # a width of thousands, or one that an argument gives


class TooMuch(jinja2.TemplateError):
    """The template makes more than any chat template needs."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or _("it makes values of millions of characters"))


class Refused(jinja2.TemplateError):
    """The template itself refuses the conversation (`raise_exception`)."""


class TemplateSandbox(ImmutableSandboxedEnvironment):
    """The environment of one template. Renders one conversation at a time: `begin`, then render."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols], optimized=False
        )
        self.filters = {name: self._guarded_filter(name, self.filters[name]) for name in _FILTERS}
        self.filters["tojson"] = self._to_json
        del self.globals["lipsum"]
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now
        self.globals["namespace"] = SafeNamespace
        self.globals["dict"] = lambda *args, **kwargs: dict(*args, **kwargs)
        self.begin([])

    def begin(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Set the clock and the limits for rendering these messages."""
        self._known: dict[int, int] = {}
        self._limit = sys.maxsize
        size = self.weigh(list(messages))
        self._known = {id(message): self.weigh(message) for message in messages}
        self._limit = max(MAX_WEIGHT, 4 * size)
        self._made = 0
        self._deadline = time.monotonic() + MAX_SECONDS

    # --- limits --------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Look at the clock.

        Raises:
            TooMuch: the template has run for `MAX_SECONDS`.
        """
        if time.monotonic() > self._deadline:
            raise TooMuch(_("it runs without end"))

    def weigh(self, value: Any) -> int:
        """Size of `value` when written out, in characters, roughly.

        Raises:
            TooMuch: it is over the limit.
        """
        total, pending = 0, [value]
        while pending:
            item = pending.pop()
            if isinstance(item, (str, bytes)):
                total += len(item)
            elif isinstance(item, int):
                if item.bit_length() > _MAX_INT_BITS:
                    raise TooMuch
                total += 8
            elif isinstance(item, (dict, list, tuple, set, frozenset)):
                if id(item) in self._known:
                    total += self._known[id(item)]
                    continue
                total += 8 * len(item) + 8
                pending += item
                if isinstance(item, dict):
                    pending += item.values()
            if total > self._limit:
                raise TooMuch
        return total

    def weighed(self, value: Any) -> Any:
        """`value`, unless it, or all that was made so far, is over the limit."""
        self.weigh(value)
        if isinstance(value, str):
            self._made += len(value) + 8
        elif isinstance(value, (list, tuple, dict)):
            self._made += 8 * len(value)  # its elements were counted when they were made
        if self._made > MAX_MADE * self._limit:
            raise TooMuch
        return value

    def _expect(self, size: float) -> None:
        """Refuse an operation whose result would have this size."""
        if size > self._limit:
            raise TooMuch

    def _expect_int(self, bits: int) -> None:
        if bits > 2 * _MAX_INT_BITS:
            raise TooMuch

    def concat(self, parts: Iterable[str]) -> str:
        """How the library joins what a block wrote."""
        pieces = list(parts)
        self._expect(sum(map(len, pieces)))
        text: str = self.weighed("".join(pieces))
        return text

    def concatenate(self, *values: Any) -> str:
        """The operator `~`."""
        return self.concat(map(str, values))

    # --- what templates do ---------------------------------------------------------------------------------------

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = Guards().visit(super()._parse(source, name, filename))
        tree.set_environment(self)
        return tree  # type: ignore[no-any-return]

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        self = __self
        if __obj == self.tick:
            return self.tick()
        self.tick()
        self.weigh((args, kwargs))
        method = getattr(__obj, "__wrapped__", __obj)  # the library wraps str.format
        owner = getattr(method, "__self__", None)
        if isinstance(owner, (str, bytes, int)):
            args = self._checked_method(owner, method.__name__, args, kwargs)
        return self.weighed(super().call(__context, __obj, *args, **kwargs))

    def _checked_method(self, owner: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Refuse a method that would make something huge; returns its arguments."""
        if not isinstance(owner, str) or name not in _STRING_METHODS:
            raise SecurityError(_("{name} is not for templates").format(name=name))
        if name == "join" and args:
            args = (self._joinable(owner, args[0]), *args[1:])
        elif name == "replace" and len(args) >= 2:
            self._expect_replace(owner, args[0], args[1])
        elif name in ("format", "format_map"):
            self._expect_format(owner, "{", (args, kwargs))
        elif name == "expandtabs":
            self._expect(owner.count("\t") * max([8, *_numbers(args, kwargs)]))
        elif name in ("ljust", "rjust", "center", "zfill"):
            self._expect(max([0, *_numbers(args, kwargs)]))
        return args

    def _joinable(self, separator: str, values: Iterable[Any]) -> list[Any]:
        items = list(values)
        self._expect(sum(len(item) for item in items if isinstance(item, str)) + len(separator) * len(items))
        return items

    def _expect_replace(self, text: str, old: Any, new: Any) -> None:
        if isinstance(old, str) and isinstance(new, str):
            self._expect(len(text) + text.count(old) * len(new))

    def _expect_format(self, template: str, sign: str, values: Any) -> None:
        if sign == "%":
            wide = bool(_WIDE_PERCENT.search(template))
        else:
            specs = [spec or "" for _, _, spec, _ in string.Formatter().parse(template)]
            wide = any("{" in spec or _WIDE.search(spec) for spec in specs)
        if wide:
            raise TooMuch
        self._expect(len(template) + template.count(sign) * self.weigh(values))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        self.tick()
        if operator == "*":
            if isinstance(left, int) and isinstance(right, int):
                self._expect_int(left.bit_length() + right.bit_length())
            elif isinstance(right, int):
                self._expect((self.weigh(left) + 8) * max(right, 0))
            elif isinstance(left, int):
                self._expect((self.weigh(right) + 8) * max(left, 0))
        elif operator == "**" and isinstance(left, int) and isinstance(right, int) and right > 0:
            self._expect_int(left.bit_length() * right)
        elif operator == "%" and isinstance(left, (str, bytes)):
            self._expect_format(str(left), "%", right)
        return self.weighed(super().call_binop(context, operator, left, right))

    def _guarded_filter(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The library's filter, with its work bounded and its result weighed."""
        shift = 1 if hasattr(function, "jinja_pass_arg") else 0  # some are given the environment first

        def guarded(*args: Any, **kwargs: Any) -> Any:
            self.tick()
            hidden, value, rest = args[:shift], args[shift], args[shift + 1 :]
            self.weigh((rest, kwargs))
            if name == "join":
                value = self._joinable(str(rest[0]) if rest else str(kwargs.get("d", "")), value)
            elif name == "replace":
                self._expect_replace(str(value), *map(str, rest[:2]), *map(str, kwargs.values()))
            elif name == "indent":
                widths = [len(width) if isinstance(width, str) else width for width in (*rest, *kwargs.values())]
                self._expect(len(str(value)) + (str(value).count("\n") + 1) * max([4, *widths]))
            return self.weighed(function(*hidden, value, *rest, **kwargs))

        functools.update_wrapper(guarded, function)
        return guarded

    def _to_json(
        self,
        value: Any,
        ensure_ascii: bool = False,
        indent: int | str | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        """The filter `tojson` as transformers has it: without HTML escapes."""
        self.tick()
        self.weigh((value, separators))
        if indent is not None and (len(indent) if isinstance(indent, str) else abs(indent)) > 100:
            raise TooMuch
        encoder = json.JSONEncoder(ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
        size, parts = 0, []
        for part in encoder.iterencode(value):
            size += len(part)
            self._expect(size)
            parts.append(part)
        return self.concat(parts)


def _numbers(args: Iterable[Any], kwargs: Mapping[str, Any]) -> list[int]:
    return [value for value in (*args, *kwargs.values()) if isinstance(value, int)]


def _raise_exception(message: str) -> None:
    raise Refused(str(message))


def _strftime_now(format: str) -> str:
    if len(format) > 1000 or re.search(r"\d{3}", format):
        raise TooMuch
    return datetime.now().strftime(format)
