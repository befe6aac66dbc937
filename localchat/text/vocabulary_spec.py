"""What is known of a vocabulary beside its pieces: special tokens, where a reply ends, spaces at the beginning.

The facts come from GGUF metadata or from the files of a Hugging Face folder, once, at import; in a model folder of our
own they are `text.json`, so that what is loaded later is exactly what was imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from localchat.errors import BadWeights
from localchat.translation import _

SpacePrefix = Literal["never", "first", "every"]
"""Where a space is put before text: nowhere, before the first piece, also before every piece after a control token."""

Spelling = Literal["byte_letters", "sentencepiece"]
"""How the vocabulary writes bytes: in the letters of `byte_letters`; as UTF-8 with U+2581 for a space, and `<0x0A>`."""

END_OF_GENERATION = frozenset(
    {
        "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>", "<turn|>",
        "<|endoftext|>", "<|end_of_text|>", "<|end_of_turn|>", "<|eot|>", "</s>", "<eos>", "<EOT>", "_<EOT>", "[EOT]",
        "[EOS]", "<end_of_utterance>", "<｜end▁of▁sentence｜>",
        # a code model that begins another file has finished its answer
        "<|fim_pad|>", "<|repo_name|>", "<reponame>", "<|file_sep|>",
    }
)  # fmt: skip
"""Tokens that end a reply, by the names under which vocabularies know them (llama.cpp collects them by name as well).

Metadata names one end of text, but chat models end a turn with another token as often as not. A token with one of these
names is a control token even where the file forgot to say so: nobody writes `<|im_end|>` meaning something else.
"""


@dataclass(frozen=True, slots=True)
class ControlToken:
    """A token that stands for an act (a turn begins, a turn ends), not for text.

    Attributes:
        strip_left, strip_right: white space beside it is dropped, in templates, as its tokenizer was trained.
    """

    id: int
    text: str
    strip_left: bool = False
    strip_right: bool = False


@dataclass(frozen=True, slots=True)
class VocabularySpec:
    """Facts of a vocabulary.

    Attributes:
        vocab_size: number of ids, unused ones included.
        bos_id, eos_id: beginning and end of text; None when the vocabulary has none.
        adds_bos: text that the model reads is expected to begin with `bos_id`.
        stop_ids: a reply ends before any of these.
        control: all control tokens; none of them ever comes from plain text.
        spelling: see `Spelling`.
        space_prefix: see `SpacePrefix`.
        strips_space: decoding drops one space at the very beginning (the prefix that encoding had put there).
    """

    vocab_size: int
    bos_id: int | None
    eos_id: int | None
    adds_bos: bool
    stop_ids: frozenset[int]
    control: tuple[ControlToken, ...]
    spelling: Spelling
    space_prefix: SpacePrefix = "never"
    strips_space: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "stop_ids": sorted(self.stop_ids)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> VocabularySpec:
        """The inverse of `to_dict`.

        Raises:
            BadWeights: a field is missing, unknown, or not of its type.
        """
        try:
            fields = dict(data)
            fields["stop_ids"] = frozenset(_ints(fields["stop_ids"]))
            fields["control"] = tuple(ControlToken(**token) for token in fields["control"])
            spec = cls(**fields)
            _ints([spec.vocab_size, *(token.id for token in spec.control)])
            _ints([id for id in (spec.bos_id, spec.eos_id) if id is not None])
            if spec.space_prefix not in get_args(SpacePrefix) or spec.spelling not in get_args(Spelling):
                raise ValueError(f"{spec.spelling!r}, {spec.space_prefix!r}")
        except (KeyError, TypeError, ValueError) as error:
            raise BadWeights(
                _("text.json is damaged ({error}).").format(error=error), _("Remove the model and import it again.")
            ) from error
        return spec


def end_ids(tokens: Iterable[ControlToken], named: Iterable[int | None]) -> frozenset[int]:
    """Ids that end a reply: those that the model's files name, and the control tokens known to mean it."""
    known = {token.text: token.id for token in tokens if token.text in END_OF_GENERATION}
    if {"<|return|>", "<|call|>", "<|end|>"} <= known.keys():
        del known["<|end|>"]  # in this format it ends a channel, and the turn goes on
    return frozenset(known.values()) | {id for id in named if id is not None}


def _ints(values: Iterable[Any]) -> list[int]:
    numbers = list(values)
    if any(type(number) is not int or number < 0 for number in numbers):
        raise TypeError("an id is not a number")
    return numbers
