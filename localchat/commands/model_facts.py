"""What `localchat models show` says of a model: its facts as data, and as tables for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from localchat.errors import LocalChatError
from localchat.hub.installed import InstalledModel
from localchat.model.memory import USUAL_CONTEXT, free_memory, read_footprint
from localchat.translation import _
from localchat.ui.figures import size

CONTEXTS = (USUAL_CONTEXT, 8192, 32768)
"""Tokens for which the memory is told, besides the model's own context."""


def model_facts(model: InstalledModel) -> dict[str, Any]:
    """Everything that is known, as `--json` prints it. What was not measured is null."""
    quantization: dict[str, Any] = {}
    if not model.damage:
        quantization = json.loads((model.path / "quantization.json").read_text("utf-8"))
    return {
        "name": model.name,
        "title": model.title,
        "damage": model.damage,
        "licence": model.licence,
        "architecture": model.architecture,
        "parameters": model.parameters,
        "precision": model.precision,
        "method": quantization.get("method", ""),
        "bits_per_weight": round(model.bits_per_weight, 3),
        "file_bytes": model.file_bytes,
        "context_length": model.context_length,
        "longest_context": model.longest_context,
        "sampling": dict(model.sampling),
        "origin": model.origin,
        "source": quantization.get("source", {}),
        "created_at": model.created_at,
        "path": str(model.path),
        "memory": None if model.damage else _memory(model),
        "passport": quantization.get("passport"),
    }


def _memory(model: InstalledModel) -> dict[str, Any] | None:
    """What it needs by context; None where its description does not say."""
    try:
        footprint = read_footprint(model.path)
    except LocalChatError:
        return None
    free = free_memory()
    plans = []
    for context in sorted({*(each for each in CONTEXTS if each < model.context_length), model.context_length}):
        plan = footprint.plan(context)
        plans.append({"context": context, **asdict(plan), "total": plan.total, "fits": plan.total <= free})
    return {"free": free, "plans": plans}


def memory_needed(folder: Path) -> str:
    """Of an installed model at the usual context, for people; empty where its description does not say."""
    try:
        footprint = read_footprint(folder)
    except LocalChatError:
        return ""
    return size(footprint.plan(min(USUAL_CONTEXT, footprint.spec.context_length)).total)


def print_facts(facts: Mapping[str, Any], console: Console) -> None:
    """The same for people."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in _rows(facts):
        if value:
            table.add_row(label, value)
    console.print(table)
    if facts["memory"] is not None:
        console.print()
        console.print(_memory_table(facts["memory"]))
    if facts["passport"] is not None:
        _print_passport(facts["passport"], console)
    elif not facts["damage"]:
        console.print(
            "\n"
            + _(
                "Not measured yet: what quantization cost, speed, peak memory. With the file or folder that it was "
                "made\nof at hand, `localchat models measure {name} --source PATH` measures them."
            ).format(name=facts["name"])
        )


def _rows(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield _("name"), facts["name"]
    yield _("title"), facts["title"]
    yield _("damaged"), facts["damage"]
    if not facts["damage"]:
        parameters = _("{count} parameters").format(count=f"{facts['parameters']:,}")
        yield _("architecture"), f"{facts['architecture']}, {parameters}"
        bits = _("{bits} bits a weight").format(bits=f"{facts['bits_per_weight']:.2f}")
        yield _("precision"), f"{facts['precision']}, {bits}, {size(facts['file_bytes'])}"
        yield _("method"), _(facts["method"])
        context = _("{count} tokens").format(count=f"{facts['context_length']:,}")
        if facts["longest_context"] > facts["context_length"]:
            longest = _("up to {count} where the setting context_length asks for them")
            context = f"{context}, {longest.format(count=format(facts['longest_context'], ','))}"
        yield _("context"), context
        yield _("sampling"), ", ".join(f"{key} {value}" for key, value in facts["sampling"].items())
        yield _("licence"), facts["licence"]
        yield _("origin"), facts["origin"]
        yield _("made from"), ", ".join(f"{key} {value}" for key, value in facts["source"].items())
        yield _("installed"), facts["created_at"]
    yield _("place"), facts["path"]


def _memory_table(memory: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.title = _("Memory, with {free} free now").format(free=size(memory["free"]))
    table.title_justify, table.title_style = "left", "bold"
    for column in (_("context"), _("weights"), _("cache"), _("working"), _("program"), _("in all"), ""):
        table.add_column(column, justify="right", no_wrap=True)
    for plan in memory["plans"]:
        parts = (size(plan[part]) for part in ("weights", "cache", "working", "program", "total"))
        table.add_row(f"{plan['context']:,}", *parts, _("fits") if plan["fits"] else _("does not fit now"))
    return table


def _print_passport(passport: Mapping[str, Any], console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left", title_style="bold")
    table.title = _("Against {source} in float32").format(source=passport["source"])
    table.add_column(_("text"), no_wrap=True)
    titles = (_("tokens"), _("mean KL"), _("p99 KL"), _("same top token"), _("perplexity"), _("source's own"))
    for column in titles:
        table.add_column(column, justify="right", no_wrap=True)
    for language, text in passport["texts"].items():
        table.add_row(
            language,
            f"{text['tokens']:,}",
            f"{text['mean_kl']:.4f}",
            f"{text['p99_kl']:.3f}",
            f"{text['same_top']:.1%}",
            f"{text['perplexity']:.2f}",
            f"{text['reference_perplexity']:.2f}",
        )
    console.print()
    console.print(table)
    _print_speed(passport, console)
    texts = ", ".join(f"{text['text']} ({text['sha256'][:12]})" for text in passport["texts"].values())
    measured = _("Measured {when} on {texts}.").format(when=passport["measured_at"], texts=texts)
    console.print(f"\n{measured}", style="dim")


def _print_speed(passport: Mapping[str, Any], console: Console) -> None:
    console.print("\n" + _("Speed and memory"), style="bold")
    speeds = _("reads {reading} tokens/s, writes {writing} tokens/s, loads in {loading} s, peak memory {memory}")
    console.print(
        speeds.format(
            reading=f"{passport['prefill_tokens_per_second']:,.0f}",
            writing=f"{passport['decode_tokens_per_second']:,.1f}",
            loading=f"{passport['load_s']:.1f}",
            memory=size(passport["peak_rss_bytes"]),
        )
    )
    where = _("({kernel} on {device}, {threads} threads)")
    console.print(where.format(**{key: passport[key] for key in ("kernel", "device", "threads")}))
