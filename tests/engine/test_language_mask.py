"""Which texts a reply can be made of that is held to Chinese or English, on vocabularies of every kind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from localchat.engine.language_mask import LanguageMask, language_mask
from localchat.engine.language_vocabulary import LanguageVocabulary
from localchat.text.load import tokenizer_from_gguf
from localchat.text.tokenizer import Tokenizer
from localchat.weights.gguf_file import GGUFFile

VOCABULARIES = ("gpt-2", "qwen2", "llama-spm")  # whole words; parts of characters; bytes

CHINESE = [
    "你好！我是你的助手，有什么可以帮你的吗？",
    "《红楼梦》共120回，约73万字；写于18世纪……😀",
    "1. **JavaScript**：一种语言\n2. TypeScript、Node.js 和 C++",
    "北京（Beijing）到上海约 1213 km，高铁需 4.5 h，时速 350km/h。",
    "函数 f(x) 的导数是 x，其中 α > β。",
    "用 `print(hello)` 打印：\n```python\nfor each in the_list:\n    print(each)\n```\n好了。",
    "详见 https://example.org/some/page?with=query 。",
    "“break the ice”的意思是打破僵局。",
    "Albert Einstein 提出了相对论。",
    "繁體字也是中文，𠀀也是。",
]
NOT_CHINESE = ["Sure, 好的", "好的。The answer", "这是 because 的意思", "こんにちは", "안녕하세요", "Привет",
               "我 going", "Alice Bob Carol Dave Eve Frank", "你好 สวัสดี", "`code` then"]  # fmt: skip
ENGLISH = [
    "Hello! I am your assistant — how can I help you today? 😀",
    "Café, naïve, Zürich: 100 °C ≈ 212 °F, π ≈ 3.14, x² → y.",
    "Use `打印` like this:\n```python\nprint('你好，世界')  # 注释\n```\nDone.",
    "The word “缘分” means fate.",
]
NOT_ENGLISH = ["当然", "The answer is 四十二", "Hello，world", "こんにちは", "Well, 안녕", "Да, yes", "a 𠀀"]


@cache
def vocabulary_of(folder: Path, name: str) -> tuple[Tokenizer, LanguageVocabulary]:
    tokenizer = tokenizer_from_gguf(GGUFFile(folder / f"oracles/tokenizers/ggml-vocab-{name}.gguf").metadata)
    return tokenizer, LanguageVocabulary(tokenizer, tokenizer.vocab_size)


@pytest.fixture(params=VOCABULARIES)
def vocabulary(request: pytest.FixtureRequest, shared_dir: Path) -> tuple[Tokenizer, LanguageVocabulary]:
    return vocabulary_of(shared_dir, request.param)


@pytest.fixture
def qwen(shared_dir: Path) -> tuple[Tokenizer, LanguageVocabulary]:
    return vocabulary_of(shared_dir, "qwen2")


def written(
    language: str, text: str, vocabulary: tuple[Tokenizer, LanguageVocabulary], quotes: Sequence[str] = ()
) -> str:
    """As much of the text as the mask lets stand, token by token."""
    tokenizer, _known = vocabulary
    mask = language_mask(language, *vocabulary, quotes)
    ids = tokenizer.encode(text)
    for place, token in enumerate(ids):
        allowed = mask.allowed()
        if allowed is not None and not allowed[token]:
            return tokenizer.decode(ids[:place])
        mask.accept(token)
    return text


@pytest.mark.parametrize("text", CHINESE)
def test_chinese_with_names_and_code_can_be_written(
    text: str, vocabulary: tuple[Tokenizer, LanguageVocabulary]
) -> None:
    assert written("zh", text, vocabulary) == text


@pytest.mark.parametrize("text", NOT_CHINESE)
def test_other_languages_cannot_be_written_in_chinese(
    text: str, vocabulary: tuple[Tokenizer, LanguageVocabulary]
) -> None:
    assert written("zh", text, vocabulary) != text


@pytest.mark.parametrize("text", ENGLISH)
def test_english_with_signs_and_code_can_be_written(
    text: str, vocabulary: tuple[Tokenizer, LanguageVocabulary]
) -> None:
    assert written("en", text, vocabulary) == text


@pytest.mark.parametrize("text", NOT_ENGLISH)
def test_other_scripts_cannot_be_written_in_english(
    text: str, vocabulary: tuple[Tokenizer, LanguageVocabulary]
) -> None:
    assert written("en", text, vocabulary) != text


def test_what_the_user_wrote_may_be_repeated(vocabulary: tuple[Tokenizer, LanguageVocabulary]) -> None:
    assert not written("zh", "过拟合 overfitting 是指", vocabulary).endswith("是指")
    assert written("zh", "过拟合 overfitting 是指", vocabulary, ["overfitting"]).endswith("是指")
    assert written("zh", "俄语 спутник 是", vocabulary, ["спутник"]).endswith("是")
    assert written("en", "红楼梦 is a novel", vocabulary, ["红楼梦"]).endswith("novel")
    assert "好" not in written("en", "红楼好 is a novel", vocabulary, ["红楼梦"])


def test_a_quotation_is_short(qwen: tuple[Tokenizer, LanguageVocabulary]) -> None:
    long = "He said “我今天早上起得很早，然后去公园跑步了，后来又回家睡觉。”"
    assert written("en", long, qwen) != long
    long = "他说“I got up early today and then went to the park to run a little”。"
    assert written("zh", long, qwen) != long
    assert written("zh", "他说“ok”。Then he left", qwen) != "他说“ok”。Then he left"


def test_a_token_that_begins_a_foreign_character_is_refused(vocabulary: tuple[Tokenizer, LanguageVocabulary]) -> None:
    tokenizer, known = vocabulary
    allowed = language_mask("en", tokenizer, known, ()).allowed()
    assert allowed is not None
    for character in "中日한語𠀀":
        begins = [id for id in range(tokenizer.vocab_size) if tokenizer.token_bytes(id) == character.encode()[:2]]
        assert not allowed[begins].any()


def test_within_a_character_only_its_rest_is_allowed(qwen: tuple[Tokenizer, LanguageVocabulary]) -> None:
    tokenizer, known = qwen
    emoji = "🦤".encode()
    by_bytes = {tokenizer.token_bytes(id): id for id in range(tokenizer.vocab_size)}
    mask: LanguageMask = language_mask("zh", tokenizer, known, ())
    mask.accept(by_bytes[emoji[:2]])
    allowed = mask.allowed()
    assert allowed is not None
    following = {tokenizer.token_bytes(int(id))[0] & 0xC0 for id in np.flatnonzero(allowed)}
    assert following == {0x80}


def test_control_tokens_stay_allowed(qwen: tuple[Tokenizer, LanguageVocabulary]) -> None:
    tokenizer, known = qwen
    for language in ("zh", "en"):
        allowed = language_mask(language, tokenizer, known, ()).allowed()
        assert allowed is not None and allowed[sorted(tokenizer.control_ids)].all()
