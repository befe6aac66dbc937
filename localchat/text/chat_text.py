"""Everything that has to do with text of one model: its tokenizer and its chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from localchat.errors import InvalidSetting
from localchat.messages import Message
from localchat.text.chat_template import ChatTemplate
from localchat.text.load import load_template, load_tokenizer, template_from_gguf, text_files, tokenizer_from_gguf
from localchat.text.prompt import Span, chat_parts, encode_chat
from localchat.text.thinking import ThinkingMarks, find_marks
from localchat.text.tokenizer import Piece, Tokenizer
from localchat.translation import _
from localchat.weights.gguf_file import GGUFFile

_TAIL = 24
"""Tokens at the end of a prompt in which an opening mark would stand."""


@dataclass(frozen=True)
class ChatText:
    """The way from messages to token ids, and from token ids to text."""

    tokenizer: Tokenizer
    template: ChatTemplate

    def encode(self, messages: Sequence[Message], think: bool | None = None) -> list[int]:
        """Token ids of a conversation, ready for the model's next reply.

        Args:
            think: whether the model is to think first; None leaves it to its template.

        Raises:
            BadTemplate: the template refuses this conversation.
            InvalidSetting: the template cannot be told whether to think.
        """
        return encode_chat(self.template, self.tokenizer, messages, self._variables(think))

    def parts(self, messages: Sequence[Message], think: bool | None = None) -> tuple[list[Piece], list[Span]]:
        """What `encode` makes token ids of, and where each message stands in it: see `chat_parts`."""
        return chat_parts(self.template, self.tokenizer, messages, self._variables(think))

    def _variables(self, think: bool | None) -> Mapping[str, Any] | None:
        switch = self.template.switch if think is not None else None
        if think is not None and switch is None:
            raise InvalidSetting(
                _("This model cannot be told whether to think first: its chat template has no switch for that."),
                _("Leave that to the model, or choose another one."),
            )
        return switch.variables(think) if switch and think is not None else None

    @cached_property
    def marks(self) -> ThinkingMarks | None:
        """The marks of what the model thinks before it answers, from its template or its control tokens."""
        return self.template.marks or find_marks(*(token.text for token in self.tokenizer.spec.control))

    @cached_property
    def mark_tokens(self) -> Mapping[int, str]:
        """The control tokens that these marks are made of, by id."""
        names = self.marks.names(token.text for token in self.tokenizer.spec.control) if self.marks else ()
        return {token.id: token.text for token in self.tokenizer.spec.control if token.text in names}

    def spell(self, ids: Sequence[int]) -> str:
        """The text of token ids, the marks of thinking by their names."""
        data = b"".join(self.mark_tokens.get(id, "").encode() or self.tokenizer.token_bytes(id) for id in ids)
        return data.decode("utf-8", "replace")

    def thinks_after(self, prompt: Sequence[int]) -> bool:
        """Whether the prompt itself opens what the model thinks."""
        return self.marks is not None and self.marks.is_open_after(self.spell(prompt[-_TAIL:]))

    def files(self) -> dict[str, bytes]:
        """Name and content of what a model folder needs so that `load_chat_text` makes this again."""
        return text_files(self.tokenizer, self.template)


def load_chat_text(path: Path) -> ChatText:
    """Read what belongs to text from a GGUF file, a model folder of ours, or a Hugging Face checkpoint.

    Raises:
        BadWeights: files are missing or damaged.
        UnsupportedModel: the tokenizer is of a kind that is not known here.
        BadTemplate: the template cannot be parsed.
    """
    if path.is_dir():
        tokenizer = load_tokenizer(path)
        return ChatText(tokenizer, load_template(path, tokenizer))
    metadata = GGUFFile(path).metadata
    tokenizer = tokenizer_from_gguf(metadata)
    return ChatText(tokenizer, template_from_gguf(metadata, tokenizer))
