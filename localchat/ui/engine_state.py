"""What the engine is doing, and the face that each of its states shows. Every state has words; colour only helps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from localchat.messages import ModelInfo
from localchat.ui.figures import speed

Phase = Literal[
    "no model", "starting", "loading", "ready", "reading", "writing", "stopping", "restarting", "failed"
]  # fmt: skip

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
    """

    phase: Phase = "no model"
    detail: str = ""
    fraction: float | None = None
    model: ModelInfo | None = None
    model_name: str = ""
    context_used: int | None = None
    tokens_per_second: float = 0.0

    @property
    def busy(self) -> bool:
        return self.phase in BUSY


def describe(state: EngineState) -> str:
    """A few words for the status line; empty when there is nothing to say."""
    percent = "" if state.fraction is None else f"{state.fraction:.0%}"
    match state.phase:
        case "no model":
            return "No model is loaded"
        case "starting":
            return "Starting the engine"
        case "loading":
            stage = state.detail or "Loading the model"
            return f"{stage}, {percent}" if percent else stage
        case "reading":
            return f"Reading the prompt, {percent}" if percent else "Reading the prompt"
        case "writing":
            pace = speed(state.tokens_per_second)
            return f"Writing, {pace}" if pace else "Writing"
        case "stopping":
            return "Stopped"
        case "restarting":
            return "Restarting the engine"
        case "failed":
            return state.detail or "The model could not be loaded"
        case "ready":
            return ""
