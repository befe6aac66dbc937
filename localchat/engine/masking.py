"""The masks of the replies of one model, and what a recording keeps of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

from localchat.constraint import Constraint
from localchat.engine.answer_mask import AnswerMask, allows
from localchat.engine.language_mask import language_mask
from localchat.engine.language_vocabulary import LanguageVocabulary
from localchat.engine.sampling import TokenMask
from localchat.errors import BadConstraint
from localchat.messages import Message, ReplyOptions
from localchat.recording import Recording
from localchat.text.chat_text import ChatText
from localchat.text.quotable import quotable
from localchat.translation import _

if TYPE_CHECKING:
    from localchat.engine.constraint_mask import Vocabulary


class Masks:
    """Makes the masks of replies; what that takes of the vocabulary is made once, when it is first wanted.

    Args:
        size: number of the model's logits.
    """

    def __init__(self, text: ChatText, size: int) -> None:
        self._text, self._size = text, size

    def begin(self, masked: Mapping[str, Any], prompt: Sequence[int], begun: int) -> TokenMask | None:
        """The mask of a reply.

        Args:
            masked: see `masked`; empty for a reply without a mask.
            begun: so many tokens at the end of `prompt` are the beginning of the reply.

        Raises:
            BadConstraint: the constraint cannot be followed, or the beginning does not match it.
        """
        if not masked:
            return None
        before, beginning = prompt[: len(prompt) - begun], prompt[len(prompt) - begun :]
        mask = self._inner(masked)
        if (marks := self._text.marks) is not None:
            mask = AnswerMask(mask, self._text, marks, self._size, opened=self._text.thinks_after(before))
        for token in beginning:
            if masked.get("constraint") and not allows(mask, token):
                raise BadConstraint(_("The beginning of the reply does not match what it is held to."))
            mask.accept(token)
        return mask

    def again(self, recording: Recording) -> TokenMask | None:
        """The mask of a part of a reply that was recorded. Raises as `begin` does."""
        return self.begin(recording.masked, recording.prompt, recording.begun)

    def _inner(self, masked: Mapping[str, Any]) -> TokenMask:
        if masked.get("constraint"):
            from localchat.engine.constraint_mask import ConstraintMask  # few replies want the library

            return ConstraintMask(self._grammatical, self._size, Constraint(**masked["constraint"]))
        return language_mask(masked["language"], self._text.tokenizer, self._lingual, masked["quotes"])

    @cached_property
    def _grammatical(self) -> Vocabulary:
        from localchat.engine.constraint_mask import Vocabulary

        return Vocabulary(self._text.tokenizer)

    @cached_property
    def _lingual(self) -> LanguageVocabulary:
        return LanguageVocabulary(self._text.tokenizer, self._size)


def masked(options: ReplyOptions, messages: Sequence[Message]) -> Mapping[str, Any]:
    """What a reply is held to, as a recording keeps it: enough to make its mask again.

    A constraint goes before a language: the keys of an object are what they are.
    """
    if options.constraint is not None:
        return {"constraint": asdict(options.constraint)}
    if options.reply_language:
        texts = [message.content for message in messages if message.role == "user"]
        return {"language": options.reply_language, "quotes": quotable(options.reply_language, texts)}
    return {}
