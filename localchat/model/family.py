"""Family: what one family of models has of its own, and the others have otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SourceKind = Literal["gguf", "huggingface"]

GUESSING_LAYERS = "nextn_predict_layers"
"""Key of GGUF files: so many of the layers, the last ones, only guess several tokens at once, and are left out."""


@dataclass(frozen=True, slots=True)
class Fused:
    """Some of our tensors that are one tensor of the source, rows above rows.

    Attributes:
        name: in the source, with `{i}` for the layer.
        parts: of ours, in the order of their rows.
        by_head: the parts follow each other within every head, not one whole part after the other.
    """

    name: str
    parts: tuple[str, ...]
    by_head: bool = False


@dataclass(frozen=True, slots=True)
class Stacked:
    """Matrices of all experts of a layer that are one tensor of the source, [expert, ...].

    Attributes:
        name: in the source, with `{i}` for the layer.
        parts: of an expert; where there are several, their rows take turns.
        transposed: the source has [expert, in, out].
        suffixes: what follows the name, of matrices and of their biases.
    """

    name: str
    parts: tuple[str, ...]
    transposed: bool = False
    suffixes: tuple[str, str] = (".weight", ".bias")


@dataclass(frozen=True, slots=True)
class Family:
    """What sets one family apart.

    Attributes:
        name: `model_type` of Hugging Face configurations.
        gguf: `general.architecture` of GGUF files; the first entry that has it reads them.
        spec: fields of `ModelSpec` that hold for every model of the family, unless its source says otherwise.
        reads: keys of Hugging Face configurations that change the maths and are read, besides those that all have; see
            `localchat.model.configuration`.
        renamed: its own names for keys, and the usual ones.
        defaults: what a Hugging Face configuration means by a key that is absent.
        inert_keys: keys of Hugging Face configurations that this family writes and that change no logits.
        gguf_defaults: what a GGUF file means by a key that is absent.
        gguf_reads: keys of GGUF files that change the maths and are read, besides those that all have.
        gguf_layers_scaled_by_width: a GGUF file of so many layers scales its scores by hidden_size / num_heads, which
            nothing in it says: llama.cpp knows Gemma 27B by its layers.
        gguf_interleaved: GGUF files hold query and key rows in the order of llama.cpp's interleaved rope, in which
            channel 2i turns with 2i + 1; ours turns i with i + rotary_dim / 2.
        sliding_pattern: where a source has a window and no list of layers, all but every n-th slide; 0 for all, None
            where that is not understood.
        embeds_by_root: embedded tokens are multiplied by the root of the hidden size.
        norm_offset: added to the weights of norms of checkpoints, whose norms multiply by that much more.
        transposed: matrices of checkpoints are [in, out].
        names: of tensors, by our own, with `{i}` for the layer and `{e}` for the expert, where they are not the usual.
        fused: of tensors that are not alone.
        stacked: of experts that are not alone, where that is not the usual.
        spellings: beginnings of tensor names in checkpoints, and what may stand there instead.
        wrapper: `model_type` of configurations that hold one of this family as `text_config`, beside what sees; only
            the text is read.
        spare_tensors: of checkpoints, as a regular expression: what only a wrapper uses.
    """

    name: str
    gguf: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    reads: frozenset[str] = frozenset()
    renamed: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    inert_keys: frozenset[str] = frozenset()
    gguf_defaults: Mapping[str, Any] = field(default_factory=dict)
    gguf_reads: frozenset[str] = frozenset()
    gguf_layers_scaled_by_width: int | None = None
    gguf_interleaved: bool = False
    sliding_pattern: int | None = None
    embeds_by_root: bool = False
    norm_offset: float = 0.0
    transposed: bool = False
    names: Mapping[SourceKind, Mapping[str, str]] = field(default_factory=dict)
    fused: Mapping[SourceKind, tuple[Fused, ...]] = field(default_factory=dict)
    stacked: Mapping[SourceKind, tuple[Stacked, ...]] = field(default_factory=dict)
    spellings: tuple[tuple[str, str], ...] = ()
    wrapper: str | None = None
    spare_tensors: str = ""
