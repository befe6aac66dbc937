"""What a model thinks is told apart from its answer by the marks of its own template."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from localchat.messages import Message
from localchat.text.chat_template import ChatTemplate
from localchat.text.chat_text import ChatText
from localchat.text.load import tokenizer_from_gguf
from localchat.text.prompt import chat_pieces
from localchat.text.thinking import ThinkingMarks, ThinkingReader, find_marks

TAGS = ThinkingMarks("<think>", "</think>")
CHANNELS = find_marks("<|channel|>analysis<|message|> <|channel|>final<|message|>")

OPENING = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content.split('</think>')[-1] }}{% endfor %}{{ '[assistant]<think>\n' }}"
)
FIELD = (
    "{% for m in messages %}[{{ m.role }}]"
    "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}"
    "{% endfor %}[assistant]"
)
KEEPING = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]{# </think> #}"


@pytest.fixture
def template_source(shared_dir: Path) -> Callable[[str], str]:
    return lambda name: (shared_dir / "oracles/templates" / f"{name}.jinja").read_text()


def read(marks: ThinkingMarks | None, text: str, size: int, *, opened: bool = False) -> tuple[str, str]:
    """Thinking and answer of a text that comes in pieces of `size`."""
    assert marks is not None
    reader = ThinkingReader(marks, opened=opened)
    parts = [part for start in range(0, len(text), size) for part in reader.push(text[start : start + size])]
    parts += reader.flush()
    return "".join(p.text for p in parts if p.thinking), "".join(p.text for p in parts if not p.thinking)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    ("text", "thinking", "answer"),
    [
        ("<think>\n2 < 3,\n\nso </thin.\n</think>\n\nWrite <think>.\n", "2 < 3,\n\nso </thin.", "Write <think>.\n"),
        ("Just so <think> x </think>", "", "Just so <think> x </think>"),
        ("<think>\n\n</think>\n\nNothing to think.", "", "Nothing to think."),
        ("<think>\nnever ends", "never ends", ""),
        ("<thi", "", "<thi"),
        ("  \n", "", ""),
    ],
)
def test_tags_are_read_wherever_the_pieces_are_cut(size: int, text: str, thinking: str, answer: str) -> None:
    assert read(TAGS, text, size) == (thinking, answer)


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_channels_are_read_wherever_the_pieces_are_cut(size: int) -> None:
    header = "<|channel|>analysis<|message|>"
    whole = f"{header}Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hello <|x|>"
    assert read(CHANNELS, whole, size) == ("Hm.", "Hello <|x|>")
    assert read(CHANNELS, "<|channel|>final <|constrain|>json<|message|>{}", size) == ("", "{}")
    assert read(CHANNELS, f"{header}Hm.<|end|><|start|>assis", size) == ("Hm.", "")


@pytest.mark.parametrize("size", [1, 1000])
def test_thinking_that_the_prompt_opened_needs_no_opening(size: int) -> None:
    assert read(TAGS, "so\n</think>\n\nYes.", size, opened=True) == ("so", "Yes.")


@pytest.mark.parametrize(
    ("source", "opening", "closing"),
    [
        ("x.split('</think>')", "<think>", "</think>"),
        ("'</seed:think>'", "<seed:think>", "</seed:think>"),
        ("[THINK] [/THINK]", "[THINK]", "[/THINK]"),
        ("◁think▷◁/think▷", "◁think▷", "◁/think▷"),
        ("<|START_THINKING|><|END_THINKING|>", "<|START_THINKING|>", "<|END_THINKING|>"),
        ("<|begin_of_thought|> <|end_of_thought|>", "<|begin_of_thought|>", "<|end_of_thought|>"),
        ("'<|channel>thought\\n<channel|>'", "<|channel>thought", "<channel|>"),
    ],
)
def test_marks_are_found_in_the_template(source: str, opening: str, closing: str) -> None:
    marks = find_marks(source)
    assert marks is not None
    assert (marks.opening, marks.closing) == (opening, closing)


def test_templates_that_know_no_thinking_have_no_marks() -> None:
    assert find_marks("<tool_call></tool_call> think about [INST] </s>", "<|im_start|>") is None


@pytest.mark.parametrize(
    ("name", "opening", "opens", "field"),
    [
        ("Qwen-Qwen3-0.6B", "<think>", False, "reasoning_content"),
        ("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "<think>", False, ""),  # this version closes it unless asked
        ("HuggingFaceTB-SmolLM3-3B", "<think>", False, ""),
        ("openai-gpt-oss-120b", "<|channel|>analysis<|message|>", False, "thinking"),
        ("Qwen-Qwen2.5-7B-Instruct", None, False, ""),
    ],
)
def test_published_templates(
    template_source: Callable[[str], str], name: str, opening: str | None, opens: bool, field: str
) -> None:
    template = ChatTemplate(template_source(name))
    prompt = template.render([Message("user", "What is <think>?")])
    assert (template.marks.opening if template.marks else None) == opening
    assert bool(template.marks and template.marks.is_open_after(prompt)) is opens
    if template.marks:
        assert template.thinking_field == field


def test_a_template_that_opens_the_thinking_itself() -> None:
    template = ChatTemplate(OPENING)
    assert template.marks == TAGS
    assert TAGS.is_open_after(template.render([Message("user", "What is </think>?")]))
    assert not TAGS.is_open_after(ChatTemplate(KEEPING).render([Message("user", "What is <think>")]))


def test_an_earlier_reply_is_given_as_the_template_expects_it() -> None:
    turns = [Message("user", "a"), Message("assistant", "b", "why"), Message("user", "c")]
    assert ChatTemplate(OPENING).render(turns) == "[user]a[assistant]\n\nb[user]c[assistant]<think>\n"
    assert ChatTemplate(FIELD).render(turns) == "[user]a[assistant]<think>why</think>b[user]c[assistant]"
    assert ChatTemplate(KEEPING).render(turns) == "[user]a[assistant]<think>\nwhy\n</think>\n\nb[user]c[assistant]"
    assert ChatTemplate("{{ messages[1].content }}").render(turns) == "b"


def test_published_templates_drop_or_keep_what_was_thought_before(template_source: Callable[[str], str]) -> None:
    turns = [Message("user", "a"), Message("assistant", "b", "SECRET"), Message("user", "c")]
    kept = {
        name: "SECRET" in ChatTemplate(template_source(name)).render(turns)
        for name in ("Qwen-Qwen3-0.6B", "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "openai-gpt-oss-120b")
    }
    assert not any(kept.values())


def test_what_was_thought_cannot_write_control_tokens(tiny_vocabulary: dict[str, Any]) -> None:
    tokenizer = tokenizer_from_gguf(tiny_vocabulary)
    turns = [Message("user", "a"), Message("assistant", "b", "<|im_end|><|im_start|>"), Message("user", "c")]
    pieces = chat_pieces(ChatTemplate(FIELD), tokenizer, turns)
    assert all(isinstance(piece, str) for piece in pieces)
    assert "<think><|im_end|><|im_start|></think>b" in "".join(map(str, pieces))


def test_marks_that_are_control_tokens_are_spelled_by_their_names(tiny_vocabulary: dict[str, Any]) -> None:
    tiny_vocabulary["tokenizer.ggml.tokens"][260:262] = ["[THINK]", "[/THINK]"]
    text = ChatText(tokenizer_from_gguf(tiny_vocabulary), ChatTemplate("{{ messages[-1].content }}[THINK]"))
    assert text.marks == ThinkingMarks("[THINK]", "[/THINK]")
    assert text.spell([260, 259, 261]) == "[THINK]hello[/THINK]"
    assert text.thinks_after(text.encode([Message("user", "[THINK] hello")]))
    assert not text.thinks_after(text.tokenizer.encode("hello [THINK]"[:5]))
