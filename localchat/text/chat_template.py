"""Chat templates: how a model wants a conversation to be written.

The template is the model's own, a small Jinja program that comes with the weights, so it is a stranger's code and runs
in `template_sandbox`. It renders what transformers renders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import jinja2
from jinja2 import nodes

from localchat.errors import BadTemplate
from localchat.messages import Message
from localchat.text.template_sandbox import MAX_SOURCE, Refused, TemplateSandbox, TooMuch
from localchat.text.thinking import find_marks
from localchat.text.thinking_switch import QUESTION, ThinkingSwitch, find_switch
from localchat.text.tokenizer import Tokenizer
from localchat.translation import _, mark

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PLAIN = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
    "{% else %}{{ message['role'] | capitalize + ': ' + message['content'] + '\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)

_THINKING_FIELDS = ("reasoning_content", "reasoning", "thinking")
_HINT = mark("Import the model with another chat template.")


class ChatTemplate:
    """A parsed template.

    Args:
        source: Jinja.
        bos_token, eos_token: names of the tokens that begin and end a text; empty when there is none.
        is_fallback: the model came without a template and this one is a guess.

    Attributes:
        marks: of what the model thinks before it answers; None when the template knows nothing of that.

    Raises:
        BadTemplate: it cannot be parsed.
    """

    def __init__(self, source: str, bos_token: str = "", eos_token: str = "", *, is_fallback: bool = False) -> None:
        self.source = source
        self.is_fallback = is_fallback
        self.marks = find_marks(source)
        self._tokens = {"bos_token": bos_token, "eos_token": eos_token}
        if len(source) > MAX_SOURCE:
            raise BadTemplate(
                _("The model's chat template has {count} characters, which no template needs.").format(
                    count=len(source)
                ),
                _(_HINT),
            )
        self._sandbox = TemplateSandbox()
        try:
            self._template = self._sandbox.from_string(source)
        except Exception as error:  # whatever a stranger's program makes the parser or Python's compiler say
            raise BadTemplate(
                _("The model's chat template cannot be read ({reason}).").format(reason=_reason(error)), _(_HINT)
            ) from error

    @cached_property
    def thinking_field(self) -> str:
        """The name under which it takes what the model thought before an earlier reply; empty when it expects that
        within the reply, between the marks."""
        parsed = self._sandbox.parse(self.source)
        read = {node.attr for node in parsed.find_all(nodes.Getattr)}
        quoted = {node.value for node in parsed.find_all(nodes.Const) if isinstance(node.value, str)}
        return next((name for name in _THINKING_FIELDS if name in read or (name in quoted and name != "thinking")), "")

    @cached_property
    def switch(self) -> ThinkingSwitch | None:
        """How it is told to let the model think or not; None when it cannot be told."""
        question = [Message("user", QUESTION)]
        parsed = self._sandbox.parse(self.source)
        return find_switch(parsed, self.marks, lambda variables: self.render(question, variables=variables))

    def _turn(self, message: Message) -> dict[str, Any]:
        turn = {"role": message.role, "content": message.content}
        if not message.thinking or self.marks is None:
            return turn
        if self.thinking_field:
            return {**turn, self.thinking_field: message.thinking}
        return {**turn, "content": self.marks.around(message.thinking) + message.content}

    @cached_property
    def literals(self) -> frozenset[str]:
        """The texts that are written in quotes in the template: what it writes, and what it looks for."""
        constants = self._sandbox.parse(self.source).find_all(nodes.Const)
        return frozenset(node.value for node in constants if isinstance(node.value, str) and node.value)

    def render(
        self,
        messages: Sequence[Message],
        add_generation_prompt: bool = True,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The conversation as text, control tokens by their names.

        Args:
            add_generation_prompt: end with the beginning of the assistant's turn.
            variables: what this template understands beyond messages, for instance `enable_thinking`.

        Raises:
            BadTemplate: the template refuses this conversation, fails, or does not come to an end.
        """
        turns = [self._turn(message) for message in messages]
        context = {
            "tools": None,
            "documents": None,
            **self._tokens,
            **(variables or {}),
            "messages": turns,
            "add_generation_prompt": add_generation_prompt,
        }
        self._sandbox.begin(turns)
        try:
            return self._template.render(context)
        except Refused as error:
            raise BadTemplate(
                _("The model's chat template refuses this conversation: {reason}.").format(reason=_reason(error))
            ) from error
        except TooMuch as error:
            raise BadTemplate(
                _("The model's chat template was stopped: {reason}.").format(reason=_reason(error)), _(_HINT)
            ) from error
        except Exception as error:  # a stranger's program may raise anything
            raise BadTemplate(
                _("The model's chat template fails ({reason}).").format(reason=_reason(error)), _(_HINT)
            ) from error


def fallback_template(tokenizer: Tokenizer) -> ChatTemplate:
    """For a model without a template: ChatML where the vocabulary has its tokens, else plain names and colons."""
    chatml = all(tokenizer.control_token(name) for name in ("<|im_start|>", "<|im_end|>"))
    return ChatTemplate(CHATML if chatml else PLAIN, is_fallback=True)


def _reason(error: Exception) -> str:
    """One printable line of at most 200 characters, without a full stop."""
    if isinstance(error, RecursionError):
        return _("it is nested too deeply")
    line = (error.message or "") if isinstance(error, jinja2.TemplateError) else str(error)
    text = "".join(letter if letter.isprintable() else " " for letter in line)
    return " ".join(text.split())[:200].rstrip(".") or type(error).__name__
