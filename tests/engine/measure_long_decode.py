"""Writing after a short and after a long text, with each kind of cache, against llama.cpp with its own.

    python -m tests.engine.measure_long_decode MODEL GGUF --llama-python PYTHON --text FILE
        [--contexts 512,8000] [--generate 32] [--rounds 3] [--threads 2] [--kinds full,int8,int4] [--theirs f16,q8_0]

PYTHON is one that has llama-cpp-python; without it only ours is measured. Each round measures all in turn, each in a
process of its own, which reads FILE up to each context and then decodes the text that follows: llama.cpp token by token
without its logits being read back, with flash attention, which its quantized cache needs; ours through the decoder.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

OURS = """
import json, sys, time
from pathlib import Path
import torch
from localchat.commands.model_choice import chosen_model
from localchat.engine.caches import cache_for
from localchat.engine.generate import prefill_steps
from localchat.model.device import configure_threads
from localchat.model.load import load_model
from localchat.text.chat_text import load_chat_text
name, kind, text, contexts, generate = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4]), int(sys.argv[5])
configure_threads()
path = chosen_model(name)
model = load_model(path)
ids = load_chat_text(path).tokenizer.encode(Path(text).read_text("utf-8")[: 8 * max(contexts)])
cache = cache_for(model, max(contexts) + generate + 16, kind)
speeds = {}
with torch.inference_mode():
    for context in contexts:
        for _ in prefill_steps(model.decoder, cache, ids[cache.length : context]):
            pass
        for token in ids[context : context + 4]:
            model.decoder(torch.tensor([token]), cache)
        began = time.perf_counter()
        for token in ids[context + 4 : context + 4 + generate]:
            model.decoder(torch.tensor([token]), cache)
        speeds[context] = generate / (time.perf_counter() - began)
print(json.dumps(speeds))
"""

THEIRS = """
import ctypes, json, sys, time
import llama_cpp as L
name, kind, text, contexts, generate = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4]), int(sys.argv[5])
threads = int(sys.argv[6])
L.llama_backend_init()
@L.llama_log_callback
def quiet(level, words, data): pass
L.llama_log_set(quiet, ctypes.c_void_p(0))
model = L.llama_model_load_from_file(name.encode(), L.llama_model_default_params())
cp = L.llama_context_default_params()
cp.n_ctx, cp.n_batch, cp.n_ubatch = max(contexts) + generate + 16, 512, 512
cp.n_threads = cp.n_threads_batch = threads
cp.type_k = cp.type_v = {"f16": L.GGML_TYPE_F16, "q8_0": L.GGML_TYPE_Q8_0, "q4_0": L.GGML_TYPE_Q4_0}[kind]
if hasattr(cp, "flash_attn_type"):
    cp.flash_attn_type = 1
else:
    cp.flash_attn = True
ctx = L.llama_init_from_model(model, cp)
data = open(text, "rb").read()[: 8 * max(contexts)].decode("utf-8", "ignore").encode()
room = len(data) + 8
ids = (L.llama_token * room)()
n = L.llama_tokenize(L.llama_model_get_vocab(model), data, len(data), ids, room, True, False)
assert n > max(contexts) + generate + 4, "the text is too short"
def feed(tokens):
    array = (L.llama_token * len(tokens))(*tokens)
    assert L.llama_decode(ctx, L.llama_batch_get_one(array, len(tokens))) == 0
speeds, done = {}, 0
for context in contexts:
    while done < context:
        feed(ids[done : min(done + 512, context)])
        done = min(done + 512, context)
    for token in ids[done : done + 4]: feed([token])
    L.llama_synchronize(ctx)
    began = time.perf_counter()
    for token in ids[done + 4 : done + 4 + generate]: feed([token])
    L.llama_synchronize(ctx)
    speeds[context] = generate / (time.perf_counter() - began)
    done += 4 + generate
print(json.dumps(speeds))
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--llama-python", default="")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--contexts", default="512,8000")
    parser.add_argument("--generate", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kinds", default="full,int8,int4")
    parser.add_argument("--theirs", default="f16,q8_0")
    asked = parser.parse_args()
    contexts = [int(each) for each in asked.contexts.split(",")]
    work = json.dumps(contexts), str(asked.generate)
    commands = {
        f"ours {kind}": [sys.executable, "-c", OURS, asked.model, kind, str(asked.text), *work]
        for kind in asked.kinds.split(",")
    }
    if asked.llama_python:
        commands |= {
            f"llama.cpp {kind}": [
                asked.llama_python,
                "-c",
                THEIRS,
                str(asked.gguf),
                kind,
                str(asked.text),
                *work,
                str(asked.threads),
            ]
            for kind in asked.theirs.split(",")
        }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _round in range(asked.rounds):
        for name, command in commands.items():
            found[name].append(_measured(command, asked.threads))
    for context in contexts:
        speeds = {name: statistics.median(each[str(context)] for each in rounds) for name, rounds in found.items()}
        base = speeds.get("llama.cpp q8_0") or speeds["ours full"]
        print(f"{asked.model}, after {context} tokens")
        for name, speed in speeds.items():
            first = statistics.median(each[str(contexts[0])] for each in found[name])
            ratio = f"{speed / base:.2f} of {'llama.cpp q8_0' if asked.llama_python else 'ours full'}"
            print(f"  {name:15} {speed:7.1f} tokens/s, {ratio}, {speed / first:.2f} of its speed after {contexts[0]}")


def _measured(command: list[str], threads: int) -> dict[str, float]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


if __name__ == "__main__":
    main()
