"""One action on one text, from its first piece to the changes: what to ask the model next, and what its answers mean.

Asks nothing itself, so that a command may drive it with an engine in its own process and the interface with one in
another, and stop between any two pieces:

    work = Work(action, text)
    while request := work.request():
        work.answered(text, finish_reason)  # what the model wrote for request.messages with request.options
    work.changes(), work.result()
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from localchat.messages import FinishReason, Message, ReplyOptions
from localchat.writing.action import Action
from localchat.writing.answers import cleaned, objection
from localchat.writing.changes import Change, applied, changes, with_line_breaks_of
from localchat.writing.language import LANGUAGE, OTHER, known_language, language_of
from localchat.writing.pieces import Piece, about_tokens, large_pieces, last_piece, paragraphs, up_to_a_sentence

PARAGRAPH_TOKENS, LARGE_TOKENS, END_TOKENS, BEFORE_TOKENS = 400, 1500, 600, 300
"""At most so many tokens of a piece, of a large one, of the end of a text, and of what came before a piece."""
NEW_TEXT_TOKENS, CONTINUATION_TOKENS = 500, 120
"""At most, of an answer that is a text of its own, and of one that goes on."""
SECOND_TRY_TEMPERATURE = 0.8


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask the model. `expected_tokens`: about how long the answer will be, for a progress bar."""

    messages: tuple[Message, ...]
    options: ReplyOptions
    expected_tokens: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a piece: its new text, or why there is none (see `answers.explained`) and it stays as it is."""

    piece: Piece
    new: str | None
    objection: str = ""


class Work:
    """One action on one text.

    Args:
        variables: what the user chose: {"tone": "polite"}, {"language": "en"}.
        sampling: what the user chose; the action's temperature holds otherwise.
        context_length: tokens that the model reads.
        thinking_switch: the model can be told not to think first, and is.
        system_prompt: told to the model before, such as the style that is wanted.

    Attributes:
        outcomes: of the pieces that are done.

    Raises:
        InvalidSetting: the action has no such variable.
    """

    def __init__(
        self,
        action: Action,
        text: str,
        variables: Mapping[str, str] | None = None,
        *,
        sampling: Mapping[str, float] | None = None,
        context_length: int = 4096,
        thinking_switch: bool = False,
        system_prompt: str = "",
    ) -> None:
        action.check(variables or {})
        self.action = action
        self.text = text
        self.outcomes: list[Outcome] = []
        self.chosen = {name: variable.default for name, variable in action.variables.items()} | dict(variables or {})
        if action.translates:
            self.chosen.setdefault("language", OTHER[language_of(text)])
        self._sampling = {**action.sampling, "seed": 0, **(sampling or {})}
        self._think = False if thinking_switch else None
        self._before = (Message("system", system_prompt),) if system_prompt else ()
        self._room = min(LARGE_TOKENS, context_length // 3)
        self._pieces = self._cut(text)
        self._objected = ""

    @property
    def pieces(self) -> int:
        """How many there are. When summaries are summarised, of the round that is going on."""
        return len(self._pieces)

    @property
    def next_piece(self) -> Piece:
        """The one that is asked about next, while there is one."""
        return self._pieces[len(self.outcomes)]

    def question_about(self, piece: Piece) -> str:
        """What the model is asked about a piece, without examples."""
        return self._question(piece.text, language_of(piece.text)).content

    def request(self) -> Request | None:
        """What to ask next; None when everything is done."""
        if len(self.outcomes) == len(self._pieces) and not self._begin_next_round():
            return None
        piece = self._pieces[len(self.outcomes)]
        sampling = dict(self._sampling)
        if self._objected:
            sampling["seed"] += 1
            sampling["temperature"] = max(SECOND_TRY_TEMPERATURE, sampling.get("temperature", 0.0))
        expected = self._expected_tokens(piece)
        # Twice the length allowed, and a little: an answer that runs on forever is stopped and not taken.
        most = min(int(about_tokens(piece.text) * 1.5 * self.action.length[1]) + 64, self._room * 2)
        most = most if self.action.result == "replace" else expected
        prefill = piece.text if self.action.goes_on else ""
        language = known_language(self.chosen.get("language", ""))
        options = ReplyOptions(
            sampling, most, prefill=prefill, think=self._think, loop_guard=True, reply_language=language
        )
        question = self._question(piece.text, language_of(piece.text))
        return Request((*self._before, *self._earlier(piece), question), options, expected)

    def answered(self, text: str, reason: FinishReason) -> Outcome | None:
        """Take the model's answer to the last request. None: it was no good and is asked for once more."""
        piece = self._pieces[len(self.outcomes)]
        new = cleaned(text, piece.text)
        if reason == "length" and self.action.result == "append":
            new = up_to_a_sentence(new)
        language = known_language(self.chosen.get("language", language_of(piece.text)))
        found = objection(self.action, piece.text, new, language, reason)
        if found and not self._objected:
            self._objected = found
            return None
        self._objected = ""
        if self.action.result == "new" and found in ("length", "same"):
            found = ""  # no text of the user's is at risk, and a long summary is better than none
        if not found:
            new = self._fitted(piece, new)
        self.outcomes.append(Outcome(piece, None if found else new, found))
        return self.outcomes[-1]

    def changes(self) -> list[Change]:
        """What the pieces done so far change in the text; nothing when the result is a text of its own."""
        found: list[Change] = []
        for outcome in self.outcomes:
            piece = outcome.piece
            if outcome.new is None or self.action.result == "new":
                continue
            if self.action.result == "append":
                found.append(Change(piece.end, piece.end, "", outcome.new))
            else:
                old = self.text[piece.start : piece.end]
                found += [change.moved(piece.start) for change in changes(old, outcome.new)]
        return found

    def result(self) -> str:
        """The text with all changes; or the new text, or what follows the text."""
        if self.action.result == "replace":
            return applied(self.text, self.changes())
        return "\n\n".join(outcome.new.strip() for outcome in self.outcomes if outcome.new)

    # ---- pieces

    def _cut(self, text: str) -> list[Piece]:
        match self.action.cut:
            case "paragraph":
                pieces = list(paragraphs(text, min(PARAGRAPH_TOKENS, self._room)))
                # What is in the language of a translation already is left as it is.
                target = known_language(self.chosen["language"]) if self.action.translates else ""
                return [piece for piece in pieces if not target or language_of(piece.text) != target]
            case "end":
                piece = last_piece(text, min(END_TOKENS, self._room))
                return [piece] if piece else []
            case _:
                return list(large_pieces(text, self._room))

    def _begin_next_round(self) -> bool:
        """Go on with the answers as the text, when the action is to be done until one is left."""
        if self.action.cut != "combine" or len(self._pieces) < 2 or not (text := self.result()):
            return False
        pieces = self._cut(text)
        if len(pieces) >= len(self._pieces):
            return False
        self._pieces, self.outcomes = pieces, []
        return True

    def _fitted(self, piece: Piece, new: str) -> str:
        """The answer with the line ends of the text, and broken into lines as the piece was."""
        newline = "\r\n" if "\r\n" in self.text else "\n"
        new = new.replace("\r\n", "\n").replace("\n", newline)
        if self.action.result == "replace":
            return with_line_breaks_of(self.text[piece.start : piece.end], new)
        if self.action.result == "append":
            return _gap(self.text[: piece.end], new) + new
        return new

    # ---- prompts

    def _question(self, text: str, language: str, variables: Mapping[str, str] | None = None) -> Message:
        """What is asked about a text in `language`, with the variables of an example in place of the chosen ones."""
        language, prompt = self.action.prompt(language)
        values = {"language": language, **self.chosen, **(variables or {})}
        worded = {
            name: self.action.variables.get(name, LANGUAGE).worded(value, language) for name, value in values.items()
        }
        return Message("user", prompt.filled(text, worded))

    def _earlier(self, piece: Piece) -> list[Message]:
        """The examples, and the piece before as one more: the model knows what came before, and keeps its style."""
        turns: list[Message] = []
        language = language_of(piece.text)
        for example in self.action.prompt(language)[1].examples:
            turns += [self._question(example.text, language, example.variables), Message("assistant", example.result)]
        before = self.outcomes[-1] if self.outcomes and not self._objected else None
        if not before or not before.new or self.action.cut != "paragraph":
            return turns
        fits = about_tokens(before.piece.text + before.new) <= BEFORE_TOKENS
        if fits and language_of(before.piece.text) == language:
            turns += [self._question(before.piece.text, language), Message("assistant", before.new.strip())]
        return turns

    def _expected_tokens(self, piece: Piece) -> int:
        match self.action.result:
            case "replace":
                return about_tokens(piece.text)
            case "append":
                return CONTINUATION_TOKENS
            case _:
                return min(NEW_TEXT_TOKENS, self._room)


def _gap(before: str, new: str) -> str:
    """What goes between a text and what follows it."""
    return "" if new[:1] > "\u2e7f" or before[-1:].isspace() else " "
