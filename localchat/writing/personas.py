"""Personas: system prompts that a chat can take; those that come with the program, and the user's own in
`personas.toml` beside the settings. A persona may also be a sample of writing, which replies are then to resemble.

    [grandma]
    title = "Letters to grandma"
    sample = "Dear grandma, the tomatoes are finally red ..."

The file is the user's: saving a persona keeps every comment and every other line.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localchat import toml_lines
from localchat.config import replace_file
from localchat.errors import InvalidSetting
from localchat.paths import assets_dir, config_dir
from localchat.translation import _, mark, spoken
from localchat.writing.language import language_of
from localchat.writing.pieces import about_tokens, up_to_a_sentence
from localchat.writing.table import Table, tables

SAMPLE_TOKENS = 500
"""Of a sample, at most: it stands before every chat that follows it."""

_KEYS = {
    "title": mark("What lists show."),
    "prompt": mark("What the model is told before the chat."),
    "sample": mark("Replies are written like this."),
}


@dataclass(frozen=True, slots=True)
class Persona:
    """Who the model is to be, or how it is to write.

    Attributes:
        titles, descriptions, prompts: by language; at least one each. Those of a sample are made of it.
        sample: a text that replies are to resemble; "" is none.
        is_own: it is the user's.
    """

    name: str
    titles: Mapping[str, str]
    descriptions: Mapping[str, str]
    prompts: Mapping[str, str]
    sampling: Mapping[str, float] = field(default_factory=dict)
    sample: str = ""
    is_own: bool = False

    def title(self, language: str) -> str:
        return _in(self.titles, language)

    def description(self, language: str) -> str:
        return _in(self.descriptions, language)

    def prompt(self, language: str) -> str:
        """The system prompt, for people who speak `language`."""
        return _in(self.prompts, language)


def personas_file() -> Path:
    """Where the user's own personas are; it need not exist."""
    return config_dir() / "personas.toml"


def all_personas() -> dict[str, Persona]:
    """By name: the user's own, then those that come with the program unless an own one has the name.

    Raises:
        InvalidSetting: a file is wrong; names the persona and the key, what was found and what is allowed.
    """
    shipped = _read(assets_dir() / "personas/personas.toml", own=False)
    own = _read(personas_file(), own=True) if personas_file().exists() else {}
    return own | {name: persona for name, persona in shipped.items() if name not in own}


def find_persona(name: str) -> Persona:
    """The persona of this name, or the only one whose title, in any language, has it. Raises InvalidSetting when there
    is none."""
    personas = all_personas()
    wanted = name.strip().casefold()
    if wanted in personas:
        return personas[wanted]
    titled = [p for p in personas.values() if any(wanted in title.casefold() for title in p.titles.values())]
    if len(titled) == 1:
        return titled[0]
    close = difflib.get_close_matches(name, personas, n=1)
    hint = _("Did you mean {name}?").format(name=close[0]) if close else _("It can be: {names}.").format(
        names=", ".join(personas)
    )  # fmt: skip
    raise InvalidSetting(_("There is no persona {name}.").format(name=repr(name)), hint)


def like(sample: str) -> str:
    """The system prompt that asks for the style of a sample, in the language of the sample.

    Raises:
        InvalidSetting: the sample is empty.
    """
    if not (sample := _shortened(sample.strip())):
        raise InvalidSetting(_("The sample is empty."), _("Give some paragraphs that are written as you like it."))
    return _style("prompt")[language_of(sample)].strip().replace("{sample}", sample)


def save_persona(name: str, *, title: str = "", prompt: str = "", sample: str = "") -> None:
    """Keep a persona of the user's under a name; one that had it is replaced. Either a prompt or a sample is given.

    Raises:
        InvalidSetting: the file is not as it should be (it is then left alone). StorageFailed: it cannot be written.
    """
    path = personas_file()
    text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
    old = tomllib.loads(text).get(name, {}) if path.exists() and name in _read(path, own=True) else {}
    values = {"title": title, "prompt": prompt, "sample": sample}
    for key, value in values.items():
        if value:
            by_language = isinstance(old.get(key), dict)
            place = (name, key, spoken()) if by_language else (name, key)
            text = toml_lines.set_value(text, place, value, _(_KEYS[key]))
    replace_file(path, text)


def forget_persona(name: str) -> None:
    """Take one of the user's out of the file, with the lines that belong to it."""
    path = personas_file()
    text = path.read_text(encoding="utf-8-sig")
    replace_file(path, toml_lines.remove_table(text, name))


def new_name(title: str) -> str:
    """A name for a persona with this title that no other one has."""
    base = re.sub(r"[^\w]+", "-", title.strip().casefold()).strip("-") or "persona"
    taken, name, number = all_personas(), base, 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name


def _read(path: Path, *, own: bool) -> dict[str, Persona]:
    return {name: _persona(name, table, own) for name, table in tables(path).items()}


def _persona(name: str, table: Table, own: bool) -> Persona:
    sample = table.take("sample", str, "").strip()
    if sample:
        prompts = {language_of(sample): like(sample)}
        about = _style("description")
    else:
        prompts = {language: text.strip() for language, text in table.worded("prompt", None).items()}
        about = {language: prompt.split("\n")[0] for language, prompt in prompts.items()}
    persona = Persona(
        name=name,
        titles=table.worded("title", {"en": name}),
        descriptions=table.worded("description", about),
        prompts=prompts,
        sampling=table.sampling({}),
        sample=sample,
        is_own=own,
    )
    table.finish()
    return persona


def _style(key: str) -> dict[str, str]:
    """What is said of every sample, or to a model with one, by language."""
    tree = tomllib.loads((assets_dir() / "personas/style.toml").read_text(encoding="utf-8"))
    texts: dict[str, str] = tree[key]
    return texts


def _shortened(sample: str) -> str:
    """The sample up to a sentence that ends in time."""
    if about_tokens(sample) <= SAMPLE_TOKENS:
        return sample
    low, high = 0, len(sample)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if about_tokens(sample[:middle]) <= SAMPLE_TOKENS else (low, middle)
    return up_to_a_sentence(sample[:low])


def _in(texts: Mapping[str, str], language: str) -> str:
    return texts.get(language) or next(iter(texts.values()))
