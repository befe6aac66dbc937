"""Whether a model can be told to think or not is read from what its template does, never from a name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from localchat.errors import InvalidSetting
from localchat.messages import Message
from localchat.text.chat_template import ChatTemplate
from localchat.text.chat_text import ChatText
from localchat.text.load import tokenizer_from_gguf
from localchat.text.thinking_switch import MOST_TRIED

TURNS = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]"
CLOSED = "<think>\n\n</think>\n\n"
QUESTION = [Message("user", "What is </think>?")]


@pytest.fixture
def published(shared_dir: Path) -> Callable[[str], ChatTemplate]:
    return lambda name: ChatTemplate((shared_dir / "oracles/templates" / f"{name}.jinja").read_text())


@pytest.mark.parametrize(
    ("name", "on", "off"),
    [
        ("Qwen-Qwen3-0.6B", "assistant\n", f"assistant\n{CLOSED}"),
        ("HuggingFaceTB-SmolLM3-3B", "assistant\n", "assistant\n<think>\n\n</think>\n"),
        ("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "<think>\n", "<think>\n</think>"),
    ],
)
def test_published_templates_leave_the_thinking_open_or_close_it(
    published: Callable[[str], ChatTemplate], name: str, on: str, off: str
) -> None:
    template = published(name)
    assert template.switch is not None
    assert template.render(QUESTION, variables=template.switch.variables(True)).endswith(on)
    assert template.render(QUESTION, variables=template.switch.variables(False)).endswith(off)
    assert template.render(QUESTION, variables=template.switch.variables(None)) == template.render(QUESTION)


def test_a_published_template_that_only_asks_for_thinking_is_believed(
    published: Callable[[str], ChatTemplate],
) -> None:
    template = published("ibm-granite-granite-3.3-2B-Instruct")
    assert template.switch is not None
    assert "thought process" in template.render(QUESTION, variables=template.switch.on)
    assert template.render(QUESTION, variables=template.switch.off) == template.render(QUESTION)


@pytest.mark.parametrize(
    "name",
    [
        "openai-gpt-oss-120b",  # takes an effort, and always thinks
        "Qwen-Qwen2.5-7B-Instruct",
        "google-gemma-2-2b-it",
        "meta-llama-Llama-3.2-3B-Instruct",
        "microsoft-Phi-3.5-mini-instruct",
        "mistralai-Mistral-Nemo-Instruct-2407",
    ],
)
def test_published_templates_without_a_switch_have_none(published: Callable[[str], ChatTemplate], name: str) -> None:
    assert published(name).switch is None


@pytest.mark.parametrize(
    ("ending", "on", "off"),
    [
        ("{% if skip_thinking %}<think></think>{% else %}<think>{% endif %}", False, True),  # the other way round
        ("{% if my_reasoning == 'none' %}<think></think>{% elif my_reasoning == 'deep' %}<think>{% endif %}",
         "deep", "none"),
        ("{% if thought_budget is defined and thought_budget == 0 %}<think></think>{% endif %}", None, 0),
        ("{% if think_hard %}<think>{% endif %}", True, False),
        ("{{ '</think>' if not enable_thinking else '<think>' }}", True, False),
    ],
)  # fmt: skip
def test_what_a_value_means_is_seen_in_what_the_prompt_ends_with(ending: str, on: object, off: object) -> None:
    switch = ChatTemplate(f"{TURNS}{ending}{{# </think> #}}").switch
    assert switch is not None
    assert list(switch.off.values()) == [off]
    assert list(switch.on.values()) == ([] if on is None else [on])


@pytest.mark.parametrize(
    "more",
    [
        "",
        "{# </think> #}",
        "{% if keep_thinking and messages | length > 1 %}<think></think>{% endif %}",  # of earlier replies only
        "Reasoning: {{ reasoning_effort | default('high') }}",  # no yes or no: it is written down
        "{% if enable_tools %}tools{% endif %}</think>",
        "{{ raise_exception('no') if enable_thinking is defined }}</think>",
        "{% set enable_thinking = true %}{% if enable_thinking %}<think>{% endif %}{# </think> #}",
    ],
)
def test_variables_that_switch_nothing_are_no_switch(more: str) -> None:
    assert ChatTemplate(TURNS + more).switch is None


def test_a_template_that_refuses_every_question_has_no_switch() -> None:
    assert ChatTemplate("{{ raise_exception('never') }}{{ enable_thinking }}").switch is None


def test_a_template_cannot_make_the_search_long() -> None:
    tests = "".join(f"{{% if think_{number} %}}{{% endif %}}" for number in range(500))
    template = ChatTemplate(f"{TURNS}{tests}")
    rendered: list[object] = []
    render = template.render
    template.render = lambda *args, **kwargs: rendered.append(0) or render(*args, **kwargs)  # type: ignore[method-assign]
    assert template.switch is None
    assert len(rendered) == MOST_TRIED + 1


def test_a_prompt_is_encoded_as_the_switch_says(tiny_vocabulary: dict[str, Any]) -> None:
    ending = "{% if enable_thinking is false %}<think></think>{% endif %}"
    text = ChatText(tokenizer_from_gguf(tiny_vocabulary), ChatTemplate(TURNS + ending))
    spelled = {think: text.spell(text.encode(QUESTION, think)) for think in (None, True, False)}
    assert spelled[None] == spelled[True] == "[user]What is </think>?[assistant]"
    assert spelled[False] == f"{spelled[None]}<think></think>"


def test_what_cannot_be_told_is_refused(tiny_vocabulary: dict[str, Any]) -> None:
    text = ChatText(tokenizer_from_gguf(tiny_vocabulary), ChatTemplate(TURNS))
    for think in (True, False):
        with pytest.raises(InvalidSetting, match="no switch"):
            text.encode(QUESTION, think)
    assert text.encode(QUESTION, None) == text.encode(QUESTION)
