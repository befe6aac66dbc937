"""What the engine is doing, and the face that each of its states shows. Every state has words; colour only helps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from localchat.events import ModelInfo
from localchat.translation import _, mark
from localchat.ui.figures import speed

Phase = Literal[
    "no model", "starting", "loading", "ready", "reading", "writing", "stopping", "restarting", "failed", "resting"
]  # fmt: skip

Errand = Literal["", "visit", "return"]
"""visit: a model that was not chosen is there for one reply; return: the chosen one comes back after that."""

BUSY: frozenset[Phase] = frozenset({"starting", "loading", "reading", "writing", "stopping", "restarting"})


@dataclass(frozen=True, slots=True)
class EngineState:
    """One state of the engine.

    Attributes:
        detail: stage of a load, or the sentence of an error.
        fraction: how far loading or reading is, from 0 to 1; None while unknown.
        model: what is loaded, or was loaded last.
        model_name: what is wanted, also before it is loaded.
        context_used: tokens after the last reply, or of the conversation on screen; None while unknown.
        errand: why the loaded model is another than the chosen one, or is loaded again.
    """

    phase: Phase = "no model"
    detail: str = ""
    fraction: float | None = None
    model: ModelInfo | None = None
    model_name: str = ""
    context_used: int | None = None
    tokens_per_second: float = 0.0
    errand: Errand = ""

    @property
    def busy(self) -> bool:
        return self.phase in BUSY


_ERRANDS = {"visit": mark("For one reply · {what}"), "return": mark("Back to your model · {what}")}


def describe(state: EngineState) -> str:
    """A few words for the status line; empty when there is nothing to say."""
    words = _describe_phase(state)
    if state.errand and state.phase in ("starting", "loading"):
        return _(_ERRANDS[state.errand]).format(what=words)
    return words


def _describe_phase(state: EngineState) -> str:
    percent = "" if state.fraction is None else f"{state.fraction:.0%}"
    match state.phase:
        case "no model":
            return _("No model is loaded")
        case "starting":
            return _("Starting the engine")
        case "loading":
            stage = _(state.detail or mark("Loading the model"))
            return _("{stage}, {percent}").format(stage=stage, percent=percent) if percent else stage
        case "reading":
            reading = _("Reading the prompt")
            return _("{stage}, {percent}").format(stage=reading, percent=percent) if percent else reading
        case "writing":
            pace = speed(state.tokens_per_second)
            return _("Writing, {pace}").format(pace=pace) if pace else _("Writing the reply")
        case "stopping":
            return _("Stopped")
        case "restarting":
            return _("Restarting the engine")
        case "failed":
            return state.detail or _("The model could not be loaded")
        case "ready" | "resting":  # the title line says that it rests
            return ""
