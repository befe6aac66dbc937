"""How byte-level BPE vocabularies in GGUF files cut text into words before merging.

A GGUF file names its rule (`tokenizer.ggml.pre`); the regular expressions themselves are not in the file. They are
those of the models' own `tokenizer.json` files, in the order in which they are applied, each to the words that the one
before left. With a wrong rule a model seems to work and is worse than it should be, so an unknown name is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from localchat.errors import UnsupportedModel
from localchat.translation import _


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """One rule.

    Attributes:
        patterns: every match becomes a word, and so does what lies between matches.
        ignore_merges: a word that is in the vocabulary is that token, whatever the merges say.
        adds_bos: text begins with the beginning-of-text token, unless the file says otherwise.
    """

    patterns: tuple[str, ...]
    ignore_merges: bool = False
    adds_bos: bool = False


_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_ENGLISH = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"


def _word_pattern(numbers: str) -> str:
    """The pattern of GPT-4's family; they differ in how many digits make a word."""
    return (
        rf"{_ENGLISH}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{numbers}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


def _cased_word_pattern(numbers: str, endings: str) -> str:
    """The pattern of o200k and Tekken: a word goes from capitals to small letters."""
    upper, lower = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
    return (
        rf"[^\r\n\p{{L}}\p{{N}}]?{upper}*{lower}+{endings}|[^\r\n\p{{L}}\p{{N}}]?{upper}+{lower}*{endings}"
        rf"|{numbers}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


_DEFAULT = PreTokenizer((r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"))
_PLAIN_GPT2 = PreTokenizer((_GPT2,))
_DIGITS_GPT2 = PreTokenizer((r"\p{N}", _GPT2))
_QWEN2 = PreTokenizer((_word_pattern(r"\p{N}"),))
_THREE_DIGITS = PreTokenizer((_word_pattern(r"\p{N}{1,3}"),))
_LLAMA3 = PreTokenizer(_THREE_DIGITS.patterns, ignore_merges=True, adds_bos=True)
_TEKKEN = PreTokenizer((_cased_word_pattern(r"\p{N}", ""),), ignore_merges=True, adds_bos=True)
_O200K = PreTokenizer((_cased_word_pattern(r"\p{N}{1,3}", rf"{_ENGLISH}?"),))
_DEEPSEEK3 = PreTokenizer(
    (
        r"\p{N}{1,3}",
        "[一-龥぀-ゟ゠-ヿ]+",
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
        r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
    )
)

_BY_NAME: dict[str, PreTokenizer] = {
    "default": _DEFAULT,
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "exaone4"), _PLAIN_GPT2),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), _DIGITS_GPT2),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan"), _QWEN2),
    **dict.fromkeys(("llama3", "llama-v3", "llama-bpe", "falcon3", "pixtral", "lfm2"), _LLAMA3),
    **dict.fromkeys(("dbrx", "smaug-bpe", "chatglm-bpe", "glm4"), _THREE_DIGITS),
    "tekken": _TEKKEN,
    **dict.fromkeys(("gpt-4o", "llama4"), _O200K),
    **dict.fromkeys(("deepseek-v3", "hunyuan-dense"), _DEEPSEEK3),
}


def rule_names() -> tuple[str, ...]:
    """All names of rules; of several for one rule, the first is the one to write."""
    return tuple(_BY_NAME)


def pre_tokenizer(name: str) -> PreTokenizer:
    """The rule of this name.

    Raises:
        UnsupportedModel: there is none.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        raise UnsupportedModel(
            _("The model's vocabulary is split by the rule {name!r}, which localchat does not know.").format(name=name),
            _("Fetch the original checkpoint, with its tokenizer.json, and import that."),
        ) from None
