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
            "\nNot measured yet: what quantization cost, speed, peak memory. With the file or folder that it was made\n"
            f"of at hand, `localchat models measure {facts['name']} --source PATH` measures them."
        )


def _rows(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "name", facts["name"]
    yield "title", facts["title"]
    yield "damaged", facts["damage"]
    if not facts["damage"]:
        yield "architecture", f"{facts['architecture']}, {facts['parameters']:,} parameters"
        yield (
            "precision",
            f"{facts['precision']}, {facts['bits_per_weight']:.2f} bits a weight, {size(facts['file_bytes'])}",
        )
        yield "method", facts["method"]
        yield "context", f"{facts['context_length']:,} tokens"
        yield "sampling", ", ".join(f"{key} {value}" for key, value in facts["sampling"].items())
        yield "licence", facts["licence"]
        yield "origin", facts["origin"]
        yield "made from", ", ".join(f"{key} {value}" for key, value in facts["source"].items())
        yield "installed", facts["created_at"]
    yield "place", facts["path"]


def _memory_table(memory: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", title=f"Memory, with {size(memory['free'])} free now")
    table.title_justify, table.title_style = "left", "bold"
    for column in ("context", "weights", "cache", "working", "program", "in all", ""):
        table.add_column(column, justify="right", no_wrap=True)
    for plan in memory["plans"]:
        parts = (size(plan[part]) for part in ("weights", "cache", "working", "program", "total"))
        table.add_row(f"{plan['context']:,}", *parts, "fits" if plan["fits"] else "does not fit now")
    return table


def _print_passport(passport: Mapping[str, Any], console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left", title_style="bold")
    table.title = f"Against {passport['source']} in float32"
    table.add_column("text", no_wrap=True)
    for column in ("tokens", "mean KL", "p99 KL", "same top token", "perplexity", "source's own"):
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
    console.print("\nSpeed and memory", style="bold")
    console.print(
        f"reads {passport['prefill_tokens_per_second']:,.0f} tokens/s, "
        f"writes {passport['decode_tokens_per_second']:,.1f} tokens/s, "
        f"loads in {passport['load_s']:.1f} s, peak memory {size(passport['peak_rss_bytes'])}\n"
        f"({passport['kernel']} on {passport['device']}, {passport['threads']} threads)"
    )
    texts = ", ".join(f"{text['text']} ({text['sha256'][:12]})" for text in passport["texts"].values())
    console.print(f"\nMeasured {passport['measured_at']} on {texts}.", style="dim")
