"""The catalogues of the interface: `python -m tests.catalogues` brings them up to date with the texts in the code.

New texts come in with an empty translation, which `tests/test_translation.py` refuses; texts that are gone go out.
"""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from localchat import translation

ROOT = Path(__file__).parent.parent
LOCALE = ROOT / "assets/locale"
TAKES = {"_": 1, "mark": 1, "plural": 2}
"""How many of their arguments are texts."""
PACKAGES = ("localchat", "quant")
LANGUAGES = ("zh",)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
"""The date in every file's header: a fixed one, for the history of the project knows better."""


def po_file(language: str) -> Path:
    return LOCALE / language / "LC_MESSAGES/localchat.po"


def mo_file(language: str) -> Path:
    return po_file(language).with_suffix(".mo")


def texts_in_code() -> Catalog:
    """Every text that goes through `_`, `mark` or `plural`, with the file that it is in, and what the catalogue of
    models says of each."""
    catalog = Catalog(project="localchat", charset="utf-8")
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for text in texts_in(ast.parse(path.read_text(encoding="utf-8"))):
            catalog.add(text, None, [(path.relative_to(ROOT).as_posix(), 0)])
    for text in texts_of_models():
        catalog.add(text, None, [("assets/models.toml", 0)])
    return catalog


def texts_in(tree: ast.AST) -> Iterator[str | tuple[str, str]]:
    """The texts of one module; of a plural, both forms. Babel's own extractor overlooks those within f-strings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TAKES:
            texts = [arg.value for arg in node.args[: TAKES[node.func.id]] if isinstance(arg, ast.Constant)]
            if texts and all(isinstance(text, str) and text for text in texts):
                yield (texts[0], texts[1]) if node.func.id == "plural" else texts[0]
        yield from help_texts(node)


def help_texts(node: ast.AST) -> Iterator[str]:
    """What a command says of itself and its options: its docstring, and `help=`; `help_texts` translates them."""
    if isinstance(node, ast.Call):
        for keyword in node.keywords:
            if keyword.arg == "help" and isinstance(keyword.value, ast.Constant):
                yield str(keyword.value.value)
    if isinstance(node, ast.FunctionDef) and any(map(_makes_command, node.decorator_list)):
        yield ast.get_docstring(node) or ""


def _makes_command(decorator: ast.expr) -> bool:
    """`@app.command(...)` or `@app.callback(...)`."""
    if not isinstance(decorator, ast.Call) or not isinstance(decorator.func, ast.Attribute):
        return False
    return decorator.func.attr in ("command", "callback")


def texts_of_models() -> list[str]:
    from localchat.hub.catalogue import catalogue

    return [entry.description for entry in catalogue() if entry.description]


def read(language: str) -> Catalog:
    with po_file(language).open("rb") as file:
        return read_po(file, locale=language)


def compiled(catalog: Catalog) -> bytes:
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def updated(old: Catalog, language: str) -> Catalog:
    """The texts of the code with the translations that `old` has for them."""
    new = Catalog(
        language,
        header_comment=f"# The interface of localchat in {translation.LANGUAGES[language]}.",
        project="localchat",
        charset="utf-8",
        creation_date=BEGAN,
        revision_date=BEGAN,
        fuzzy=False,
    )
    for message in texts_in_code():
        if message.id:
            known = old.get(message.id)
            string = known.string if known is not None and not known.fuzzy else None
            new.add(message.id, string, message.locations, auto_comments=message.auto_comments)
    return new


def main() -> None:
    for language in LANGUAGES:
        catalog = updated(read(language), language)
        with po_file(language).open("wb") as file:
            write_po(file, catalog, width=120, include_lineno=False, sort_by_file=True)
        mo_file(language).write_bytes(compiled(catalog))
        missing = untranslated(catalog)
        print(f"{language}: {len(catalog)} texts, {len(missing)} without a translation", *missing, sep="\n  ")


def untranslated(catalog: Catalog) -> list[str]:
    return [repr(message.id) for message in catalog if message.id and not all(strings(message.string))]


def strings(string: object) -> tuple[str, ...]:
    """One text, or the forms of a plural."""
    return tuple(string) if isinstance(string, (tuple, list)) else (str(string or ""),)


if __name__ == "__main__":
    main()
