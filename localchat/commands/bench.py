"""`localchat bench MODEL`: speed and memory on this machine."""

from __future__ import annotations

import json as json_library
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from localchat.commands.cache_flag import CacheFlag
from localchat.commands.columns import padded
from localchat.commands.model_choice import chosen_model
from localchat.commands.profile_table import print_profile
from localchat.commands.progress import ProgressLine
from localchat.commands.text_files import read_text
from localchat.paths import assets_dir
from localchat.translation import _, mark, plural

if TYPE_CHECKING:
    from localchat.model.load import LoadedModel
    from localchat.text.tokenizer import Tokenizer


def register(app: typer.Typer) -> None:
    @app.command()
    def bench(
        model: Annotated[str, typer.Argument(help="An installed model, or a path.")],
        prompt: Annotated[int, typer.Option(min=1, help="Tokens to read.")] = 512,
        generate: Annotated[int, typer.Option(min=1, help="Tokens to write.")] = 128,
        repeat: Annotated[int, typer.Option(min=1, help="Rounds; the medians count.")] = 5,
        profile: Annotated[bool, typer.Option("--profile", help="Print where the time of a token goes.")] = False,
        speculate: Annotated[
            bool, typer.Option("--speculate", help="Measure writing with tokens guessed ahead, too.")
        ] = False,
        draft: Annotated[str | None, typer.Option(help="A smaller model guesses ahead; implies --speculate.")] = None,
        cache: CacheFlag = "auto",
        json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Measure reading and writing speed, loading time and memory."""
        path = chosen_model(model)
        text = read_text(assets_dir() / "bench.txt")
        with ProgressLine() as line:
            line.show(_("Loading"), None)
            from localchat.evaluation.profile import measure_profile
            from localchat.evaluation.speed import measure_speed, peak_rss_bytes
            from localchat.model.device import configure_threads
            from localchat.model.load import load_model
            from localchat.text.chat_text import load_chat_text

            threads = configure_threads()
            began = time.perf_counter()
            loaded = load_model(path, cache=cache)
            tokenizer = load_chat_text(path).tokenizer
            load_s = time.perf_counter() - began
            ids = tokenizer.encode(text)
            ids *= -(-prompt // len(ids))
            if profile:
                line.show(_("Measuring"), None)
                print_profile(measure_profile(loaded, ids[:prompt], generate), as_json=json)
                return
            speed = measure_speed(
                loaded, ids[:prompt], generate, repeat, on_round=lambda done: line.show(_("Measuring"), done / repeat)
            )
            guessed = _guessed(loaded, tokenizer, draft, ids[:prompt], generate, repeat) if speculate or draft else {}
        facts = {
            "model": loaded.name,
            "architecture": loaded.spec.family,
            "device": str(loaded.device),
            "kernel": loaded.kernel,
            "threads": threads,
            "parameters": loaded.parameters,
            "file_bytes": loaded.file_bytes,
            "bits_per_weight": loaded.bits_per_weight,
            "cache": loaded.cache_kind,
            "prompt_tokens": speed.prompt_tokens,
            "prefill_tokens_per_second": speed.prefill_tokens_per_second,
            "generated_tokens": speed.generated_tokens,
            "decode_tokens_per_second": speed.decode_tokens_per_second,
            "time_to_first_token_s": speed.time_to_first_token_s,
            "load_s": load_s,
            "peak_rss_bytes": peak_rss_bytes(),
        }
        if guessed:
            facts["speculation"] = guessed
        if json:
            print(json_library.dumps(facts))
            return
        _print(facts, loaded.precision)


def _guessed(
    loaded: LoadedModel, tokenizer: Tokenizer, draft: str | None, prompt: list[int], generate: int, repeat: int
) -> dict[str, dict[str, Any]]:
    """Speeds and counts of writing with guesses, as JSON has them."""
    from localchat.engine.speculation import Speculator
    from localchat.evaluation.speculation_speed import measure_speculation

    speculator = Speculator(loaded)
    if draft:
        speculator.load_draft(chosen_model(draft), tokenizer, loaded.context_length)
    if speculator.draft_problem is not None:
        raise speculator.draft_problem
    measured = measure_speculation(loaded, speculator, prompt, generate, repeat)
    return {name: asdict(speed) for name, speed in measured.items()}


def _print(facts: Mapping[str, Any], precision: str) -> None:
    """The figures for people."""
    bits = _("{bits} bits a weight").format(bits=f"{facts['bits_per_weight']:.2f}")
    print(f"{facts['model']}: {precision}, {bits}, {facts['kernel']}")
    speeds = ((mark("reading"), "prompt_tokens", "prefill"), (mark("writing"), "generated_tokens", "decode"))
    for kind, count, part in speeds:
        speed = _("{speed} tokens/s").format(speed=f"{facts[f'{part}_tokens_per_second']:8.1f}")
        tokens = plural("{count} token", "{count} tokens", facts[count]).format(count=facts[count])
        print(f"  {padded(_(kind), 8)} {speed}  ({tokens})")
    for name, speed in facts.get("speculation", {}).items():
        kind = {"open": mark("guessing, open text"), "copying": mark("guessing, copying")}[name]
        ratio = speed["tokens_per_second"] / speed["plain_tokens_per_second"]
        figures = _("{ratio} times plain writing ({accepted} of {drafted} guesses were right)").format(
            ratio=f"{ratio:.2f}", accepted=speed["accepted_tokens"], drafted=speed["drafted_tokens"]
        )
        print(f"  {_(kind)}: {figures}")
    first, loaded = (f"{facts[key]:.2f}" for key in ("time_to_first_token_s", "load_s"))
    print("  " + _("first token after {first} s; loaded in {loaded} s").format(first=first, loaded=loaded))
    file, memory = (f"{facts[key] / 1e6:.0f}" for key in ("file_bytes", "peak_rss_bytes"))
    print("  " + _("file {file} MB, peak memory {memory} MB").format(file=file, memory=memory))
