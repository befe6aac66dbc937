"""Hostile templates: no way to Python, no endless work, no end of memory; one sentence instead."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from localchat.errors import BadTemplate
from localchat.messages import Message
from localchat.text import template_sandbox
from localchat.text.chat_template import ChatTemplate

QUESTION = [Message("user", "x")]

DOUBLING = "{%% set ns = namespace(x=%s) %%}{%% for i in range(100) %%}{%% set ns.x = %s %%}{%% endfor %%}{{ ns.x }}"

ESCAPES = {
    "class": "{{ ''.__class__.__mro__ }}",
    "class by key": "{{ ''['__class__'].__mro__[1].__subclasses__() }}",
    "globals": "{{ cycler.__init__.__globals__.os.system('true') }}",
    "globals of ours": "{{ raise_exception.__globals__['json'].x }}",
    "filter attr": "{{ '' | attr('__class__') }}",
    "format": "{{ '{0.__class__.__mro__}'.format('').x.y }}",
    "private name": "{% set ns = namespace(__class__=1) %}",
    "change a message": "{{ messages.append(1) }}",
    "change a dictionary": "{{ messages[0].update({'content': 'y'}) }}",
    "import": "{% import 'os' as os %}",
    "include": "{% include '/etc/passwd' %}",
}

BOMBS = {
    "range": "{% for i in range(10**9) %}x{% endfor %}",
    "string times number": "{{ 'x' * 10**9 }}",
    "number times string": "{{ 10**9 * 'x' }}",
    "list times number": "{{ [0] * 10**9 }}",
    "power": "{{ 9 ** (9 ** 9) }}",
    "squaring": DOUBLING % ("9", "ns.x * ns.x"),
    "doubling by plus": DOUBLING % ("'x'", "ns.x + ns.x"),
    "doubling by tilde": DOUBLING % ("'x'", "ns.x ~ ns.x"),
    "doubling by list": DOUBLING % ("[]", "[ns.x, ns.x]"),
    "doubling by tuple": DOUBLING % ("()", "(ns.x, ns.x)"),
    "doubling by dict": DOUBLING % ("{}", "dict(a=ns.x, b=ns.x)"),
    "doubling by arguments": "{% macro m(n) %}{% if n %}{{ m(n - 1, varargs, varargs) }}{% else %}{{ varargs }}"
    "{% endif %}{% endmacro %}{{ m(40) }}",
    "block": "{% set x %}{% for i in range(100000) %}{{ 'x' * 100000 }}{% endfor %}{% endset %}",
    "many values": "".join(f"{{% set a{index} = 'x' * 3000000 %}}" for index in range(1000)),
    "ljust": "{{ 'x'.ljust(10**9) }}",
    "zfill": "{{ 'x'.zfill(10**9) }}",
    "expandtabs": "{{ ('\t' * 1000).expandtabs(10**6) }}",
    "replace": "{{ ('x' * 100000).replace('x', 'y' * 100000) }}",
    "filter replace": "{{ ('x' * 100000) | replace('x', 'y' * 100000) }}",
    "join": "{{ ('x' * 100000).join(['a'] * 100000) }}",
    "filter join": "{{ range(100000) | join('x' * 100000) }}",
    "map": "{{ range(100000) | map('string') | map('replace', '1', 'x' * 400000) | list }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "percent star": "{{ '%*d' % (10**9, 1) }}",
    "format width": "{{ '{:1000000000}'.format(1) }}",
    "format nested width": "{{ '{:{w}}'.format(1, w=10**9) }}",
    "format often": "{{ ('{0}' * 10000).format('x' * 100000) }}",
    "indent": "{{ ('\n' * 100000) | indent(100000) }}",
    "tojson": "{{ [[1]] | tojson(indent=10**9) }}",
    "strftime": "{{ strftime_now('%1000000000d') }}",
    "to_bytes": "{{ (1).to_bytes(10**9, 'big') }}",
    "translate": "{{ ('a' * 100000).translate({97: 'b' * 100000}) }}",
    "striptags": "{{ (('<!---->' * 100000) | safe).striptags() }}",
    "recursion": "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
    "nesting": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "length": "x" * 1_000_000,
}  # fmt: skip

ENDLESS = {
    "silent loops": "{% set r = range(100000) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}",
    "loops": "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "writing loops": "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
    "macros": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "call blocks": "{% macro m() %}{{ caller() }}{{ caller() }}{% endmacro %}"
    + "{% call m() %}" * 60 + "x" + "{% endcall %}" * 60,
}  # fmt: skip


@pytest.mark.parametrize("name", ESCAPES)
def test_there_is_no_way_out(name: str) -> None:
    with pytest.raises(BadTemplate):
        ChatTemplate(ESCAPES[name]).render(QUESTION)


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_work_is_stopped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_sandbox, "MAX_SECONDS", 0.2)
    with pytest.raises(BadTemplate, match="without end"):
        ChatTemplate(ENDLESS[name]).render(QUESTION)


def test_no_bomb_takes_much_memory() -> None:
    """In a process of its own that may have 1 GiB, so that a failure does not take the machine with it."""
    program = f"""
import pathlib, re, resource
resource.setrlimit(resource.RLIMIT_AS, ({1 << 30}, {1 << 30}))
from tests.text.test_text_template_sandbox import BOMBS, QUESTION
from localchat.errors import BadTemplate
from localchat.text.chat_template import ChatTemplate
for name, source in BOMBS.items():
    try:
        ChatTemplate(source).render(QUESTION)
        print(name, "went off")
    except BadTemplate as error:
        print(name, "is harmless" if not isinstance(error.__cause__, MemoryError) else "took all memory")
status = pathlib.Path("/proc/self/status")  # Linux; elsewhere the limit above has to do
peak = re.search(r"VmHWM:\\s*(\\d+) kB", status.read_text()) if status.exists() else None
print("at most 250 MB" if peak is None or int(peak[1]) < 250_000 else peak[1])
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.splitlines() == [*(f"{name} is harmless" for name in BOMBS), "at most 250 MB"]


def test_a_message_cannot_be_read_as_a_template() -> None:
    assert ChatTemplate("{{ messages[0].content }}").render([Message("user", "{{ 7 * 7 }}")]) == "{{ 7 * 7 }}"


def test_a_very_long_conversation_is_within_the_limits() -> None:
    source = (
        "{% set ns = namespace(seen=[], text='') %}{% for m in messages %}{% set ns.seen = ns.seen + [m] %}"
        "{% set ns.text = ns.text ~ m.content %}{{ m.role + ': ' + m.content | trim }}"
        "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{% endfor %}{{ ns.text | length }}"
    )
    messages = [Message("user", "长" * 1000)] * 300
    assert ChatTemplate(source).render(messages).endswith("300" + str(300 * 1000))


def test_a_pasted_book_is_within_the_limits() -> None:
    book = "word " * 2_000_000
    rendered = ChatTemplate("{{ '<|user|>' + messages[0].content + '<|end|>' }}").render([Message("user", book)])
    assert len(rendered) == len(book) + len("<|user|><|end|>")
