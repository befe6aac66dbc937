"""Everything that has to do with text of one model: its tokenizer and its chat template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localchat.messages import Message
from localchat.text.chat_template import ChatTemplate
from localchat.text.load import load_template, load_tokenizer, template_from_gguf, text_files, tokenizer_from_gguf
from localchat.text.prompt import encode_chat
from localchat.text.tokenizer import Tokenizer
from localchat.weights.gguf_file import GGUFFile


@dataclass(frozen=True, slots=True)
class ChatText:
    """The way from messages to token ids, and from token ids to text."""

    tokenizer: Tokenizer
    template: ChatTemplate

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a conversation, ready for the model's next reply.

        Raises:
            BadTemplate: the template refuses this conversation.
        """
        return encode_chat(self.template, self.tokenizer, messages)

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
