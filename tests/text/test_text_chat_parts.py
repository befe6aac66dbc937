"""Every token of a prompt belongs to one part: to a part of a message, or to what the template writes around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from localchat.engine.context_ledger import count_parts, ledger
from localchat.messages import Message, ReplyOptions
from localchat.text.chat_template import CHATML, ChatTemplate
from localchat.text.chat_text import ChatText
from localchat.text.load import tokenizer_from_gguf
from localchat.text.tokenizer import Tokenizer

from .test_text_prompt import PAIRS, template

FILE = '<file name="a.md">\nThe sea is blue. 海是蓝色的。\n</file>'
CONVERSATION = [
    Message("user", f"{FILE}\n\nWhat colour?"),
    Message("assistant", "Blue. 蓝色。", thinking="It says so."),
    Message("user", "  user\n<|im_end|> 为什么？\n"),
    Message("assistant", "assistant"),
    Message("user", "k"),
]
ENDS = [[len(FILE), len(CONVERSATION[0].content)], [], [], [], []]


def chat_text(name: str, vocabulary: str, shared_dir: Path, tokenizer_of: Callable[[str], Tokenizer]) -> ChatText:
    tokenizer = tokenizer_of(vocabulary)
    return ChatText(tokenizer, template(shared_dir, name, tokenizer))


@pytest.mark.parametrize(("name", "vocabulary"), PAIRS)
def test_the_parts_add_up_to_the_prompt_whatever_the_template(
    name: str, vocabulary: str, shared_dir: Path, oracle_tokenizer: Callable[[str], Tokenizer]
) -> None:
    text = chat_text(name, vocabulary, shared_dir, oracle_tokenizer)
    found = ledger(text, CONVERSATION, ReplyOptions(), 4096, ENDS)
    assert found.prompt_tokens == len(text.encode(CONVERSATION))
    assert sum(map(sum, found.parts)) + found.template == found.prompt_tokens
    assert found.template > 0
    for message, tokens in zip(CONVERSATION, found.parts, strict=True):
        alone = len(text.tokenizer.encode(message.content.strip()))
        assert abs(sum(tokens) - alone) <= 8, (message.content, tokens, alone)  # the first one has thoughts in some


@pytest.mark.parametrize(("name", "vocabulary"), PAIRS)
def test_a_file_and_the_question_after_it_are_told_apart(
    name: str, vocabulary: str, shared_dir: Path, oracle_tokenizer: Callable[[str], Tokenizer]
) -> None:
    text = chat_text(name, vocabulary, shared_dir, oracle_tokenizer)
    longer = [Message("user", CONVERSATION[0].content + " Tell me, please."), *CONVERSATION[1:]]
    before = count_parts(text, CONVERSATION, [e or [len(m.content)] for m, e in zip(CONVERSATION, ENDS, strict=True)])
    ends = [[len(FILE), len(longer[0].content)], *([len(m.content)] for m in longer[1:])]
    after = count_parts(text, longer, ends)
    assert before[0][0] == after[0][0] >= 15
    assert after[0][1] >= before[0][1] + 4
    assert before[1:] == after[1:]


def test_each_token_counts_where_it_begins(tiny_vocabulary: Mapping[str, Any]) -> None:
    tokenizer = tokenizer_from_gguf(tiny_vocabulary)
    messages = [Message("user", "hello你"), Message("assistant", "hi"), Message("user", " hello ")]
    found = ledger(ChatText(tokenizer, ChatTemplate(CHATML)), messages, ReplyOptions(), 4096, [[5, 6]])
    assert found.parts[0] == (1, 3)  # one token, and a character of three bytes
    assert found.parts[1] == (2,)
    assert found.parts[2] == (3,)


def test_a_space_that_sentencepiece_puts_in_front_moves_nothing(tiny_sentencepiece: Mapping[str, Any]) -> None:
    tokenizer = tokenizer_from_gguf(tiny_sentencepiece)
    text = ChatText(tokenizer, ChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}"))
    found = ledger(text, [Message("user", "hello你好")], ReplyOptions(), 4096, [[5, 7]])
    assert found.parts == ((1, 2),)
    assert found.template == 1  # the beginning-of-text token
