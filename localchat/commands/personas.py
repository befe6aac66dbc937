"""`localchat personas`: who the model can be; and what `--persona` and `--like` tell it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from localchat import translation
from localchat.commands.columns import padded
from localchat.commands.progress import say
from localchat.documents.reading import read_document
from localchat.translation import _
from localchat.writing.personas import all_personas, find_persona, like, personas_file


def register(app: typer.Typer) -> None:
    @app.command()
    def personas(
        name: Annotated[str | None, typer.Argument(help="Print what this one tells the model.")] = None,
    ) -> None:
        """List the personas that --persona takes, or print one."""
        language = translation.spoken()
        if name is not None:
            print(find_persona(name).prompt(language))
            return
        found = all_personas()
        width = max(len(persona.name) for persona in found.values()) + 2
        for persona in found.values():
            own = _(" (yours)") if persona.is_own else ""
            print(f"{padded(persona.name, width)}{persona.title(language)}: {persona.description(language)}{own}")
        say("\n" + _("Your own go into {path}.").format(path=personas_file()))


def system_prompt(usual: str, given: str | None, persona: str | None, sample: Path | None) -> str:
    """What the model is told before a question.

    Args:
        usual: what the settings say.
        given: by -s; `persona` by --persona, `sample` by --like.

    Raises:
        typer.BadParameter: -s and --persona are both given. LocalChatError: there is no such persona or file.
    """
    if given is not None and persona is not None:
        raise typer.BadParameter(_("--system and --persona exclude each other."))
    base = usual if given is None else given
    if persona is not None:
        base = find_persona(persona).prompt(translation.spoken())
    parts = [base, like(read_document(sample).text)] if sample is not None else [base]
    return "\n\n".join(part for part in parts if part.strip())


def persona_sampling(persona: str | None) -> Mapping[str, float]:
    """The sampling options that come with a persona."""
    return find_persona(persona).sampling if persona is not None else {}
