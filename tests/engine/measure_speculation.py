"""What guessing ahead gains and costs with a real model: the same replies with guesses and without, in turns.

    python tests/engine/measure_speculation.py MODEL [--draft MODEL] [--tokens 192] [--rounds 3] [--temperature 0]

For every task the medians of the writing speeds are printed, and their ratio; the replies must be the same, token for
token, or the script ends with an error. Below them stands, by how many tokens had matched, how often what was looked up
was right, whether it was read or not: `_EXPECTED` in `localchat.engine.speculation` was chosen by that.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter

_LIGHTHOUSE = (
    "The old lighthouse on the northern cliff had been abandoned for more than thirty years when Maria first saw "
    "it. She had walked along the coast since early morning, carrying only a small bag with bread, a notebook and "
    "a bottle of water. The path was narrow and covered with loose stones, and twice she nearly lost her footing. "
    "When she finally reached the tower, the sun was already low, and the windows shone like copper. She sat down "
    "on the stone steps, opened the notebook, and began to draw the outline of the building against the evening "
    "sky. A fisherman who was mending his nets below looked up and waved to her. He told her later that nobody "
    "had climbed those steps since the keeper left, and that the children of the village believed the tower was "
    "haunted."
)
_COMPANY = (
    "我们公司成立于二〇〇八年，总部位于杭州，主要从事智能家居产品的研发、生产和销售。经过十多年的发展，公司已经拥"
    "有员工三百余人，其中研发人员占百分之四十。我们的产品包括智能门锁、智能照明、环境监测和家庭安防四大系列，远销"
    "欧洲、东南亚和南美洲等三十多个国家和地区。公司始终坚持以用户为中心，不断改进产品质量和服务水平，先后获得多项"
    "国家发明专利。去年，公司的销售收入达到五亿元，比前年增长了百分之二十。"
)
_CODE = """import json
from pathlib import Path

def load_records(path):
    records = []
    for line in Path(path).read_text().splitlines():
        if not line.strip():
            continue
        record = json.loads(line)
        if "id" not in record:
            raise ValueError("record without id")
        records.append(record)
    return records

def group_by_owner(records):
    groups = {}
    for record in records:
        owner = record.get("owner", "nobody")
        groups.setdefault(owner, []).append(record)
    return groups
"""
_REWRITE = "Write out the whole text again with small changes"
_TASKS = {
    "rewriting": f"{_REWRITE}: the name Maria becomes Anna, and the lighthouse a windmill.\n\n{_LIGHTHOUSE}",
    "改写": f"请把下面的文字稍作修改：“杭州”改为“苏州”，“我们公司”改为“本公司”，其余不变，写出全文。\n\n{_COMPANY}",
    "correcting": "Correct the spelling of this text and write it out whole:\n\n"
    + _LIGHTHOUSE.replace("nearly", "nearlly").replace("opened", "openned").replace("believed", "beleived"),
    "code": f"Rename the function group_by_owner to by_owner and write out the whole file:\n\n{_CODE}",
    "questions": f"{_LIGHTHOUSE}\n\nWhat did the fisherman tell Maria? Quote what answers it.",
    "summary": f"用两句话概括：\n\n{_COMPANY}",
    "open 1": "Explain to a beginner how a refrigerator works.",
    "open 2": "Write a short story about a cat that learns to sail.",
    "open 3": "请介绍一下中国的茶文化。",
    "open 4": "写一封给朋友的信，讲讲最近的生活。",
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", help="a model folder or a GGUF file")
    parser.add_argument("--draft", help="a smaller one of the same vocabulary")
    parser.add_argument("--tokens", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--tasks", nargs="*", default=list(_TASKS))
    arguments = parser.parse_args()

    from localchat.openmp import wait_briefly

    wait_briefly()
    from localchat.engine.facade import Engine
    from localchat.engine.speculation_lookup import Lookup
    from localchat.events import ReplyDone
    from localchat.messages import Message, ReplyOptions
    from localchat.recording import ReplyRecorded

    engine = Engine()
    info = engine.load(arguments.model, 4096, arguments.draft)
    if problem := info.speculation or info.draft_problem:
        raise SystemExit(problem)
    right, made, ratios = Counter[int](), Counter[int](), dict[str, float]()
    for task in arguments.tasks:
        speeds: dict[bool, list[float]] = {True: [], False: []}
        replies, done = [], dict[bool, ReplyDone]()
        for number in range(arguments.rounds + 1):
            for speculate in (number % 2 == 0, number % 2 == 1):
                sampling = {"temperature": arguments.temperature, "seed": 1}
                options = ReplyOptions(sampling, arguments.tokens, speculate=speculate)
                for event in engine.reply([Message("user", _TASKS[task])], options):
                    if isinstance(event, ReplyRecorded):
                        replies.append((event.recording["prompt"], event.recording["reply"]))
                    elif isinstance(event, ReplyDone):
                        if number:  # the first round warms up
                            speeds[speculate].append(event.decode_tokens_per_second)
                        done[speculate] = event
        if any(reply != replies[0] for reply in replies):
            raise SystemExit(f"{task}: the replies are not the same")
        prompt, reply = replies[0]
        lookup = Lookup(prompt)
        for token in reply:
            made[lookup.matched] += 1
            right[lookup.matched] += lookup.matched >= 0 and lookup.next == token
            lookup.accept(token)
        ratios[task] = statistics.median(a / b for a, b in zip(speeds[True], speeds[False], strict=True))
        plain, guessed = statistics.median(speeds[False]), statistics.median(speeds[True])
        print(
            f"{task:10} {len(reply):4} tokens, {plain:6.1f} -> {guessed:6.1f} tokens/s: {ratios[task]:.2f}"
            f"  ({done[True].accepted_tokens} of {done[True].drafted_tokens} guesses were right)",
            flush=True,
        )
    print("by tokens matched:", ", ".join(f"{n}: {right[n]}/{made[n]}" for n in sorted(made) if n >= 0))
    if talks := [ratio for task, ratio in ratios.items() if task.startswith("open")]:
        print(f"open chat: {statistics.geometric_mean(talks):.3f}")


if __name__ == "__main__":
    main()
