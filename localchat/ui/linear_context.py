"""The context in the linear mode: what the model would see, read out, and what it will no longer see, said in time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from localchat.errors import ContextOverflow
from localchat.translation import _
from localchat.ui.context_rows import NAMES

if TYPE_CHECKING:
    from localchat.ui.linear import LinearChat


async def read_context(chat: LinearChat) -> None:
    """Every part of the context with its tokens, a line each."""
    await _until_loaded(chat)
    view = await chat.session.context.ledger("")
    if view is None:
        chat.say(_("The engine is at work. What it sees can be shown when it rests."))
        return
    for row in view.rows:
        if row.kind == "draft":
            continue
        words = f"{_(NAMES[row.kind])}: {row.text}" if row.text else _(NAMES[row.kind])
        tokens = _("{count} tokens").format(count=f"{row.tokens:,}")
        remarks = [tokens, _("left out") if row.gone else "", _("pinned") if row.pinned else ""]
        chat.say(f"{words} ({', '.join(remark for remark in remarks if remark)})")
    ledger = view.ledger
    sentence = _("What the model sees: {tokens} of {total} tokens")
    chat.say(sentence.format(tokens=f"{ledger.prompt_tokens:,}", total=f"{ledger.context_length:,}"))


async def say_what_goes(chat: LinearChat, text: str) -> None:
    """Name what this message pushes out of the model's sight, before it is sent.

    Raises:
        ContextOverflow: it would not be answered.
    """
    context = chat.session.context
    chat.session.save_draft(text)  # what comes now may take as long as loading the model
    await _until_loaded(chat)
    if not context.can_ask or context.surely_fits(text) or (view := await context.ledger(text)) is None:
        return
    if view.ledger.refusal:
        raise ContextOverflow(view.ledger.refusal)
    if len(view.ledger.gone) > context.left_out_before():
        chat.say(f"! {view.named()}")


async def _until_loaded(chat: LinearChat) -> None:
    """The reply would wait for this as well."""
    while chat.session.engine_state.phase in ("starting", "loading", "restarting"):
        await asyncio.sleep(0.02)
