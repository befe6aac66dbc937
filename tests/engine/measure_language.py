"""How often replies leave the language that they are held to, with and without its two means. Run by hand:

    python -m tests.engine.measure_language MODEL [--tokens 64] [--prompts 20] [--show]

MODEL is the folder or file of a model. Twenty questions tempt a reply in Chinese into English, twenty the other way:
they are asked in the other language, are about it, or quote it. Each is answered four times, greedily: as the model
likes, with the line in the system prompt, with the mask, and with both. What is counted does not go by the rules of
the mask: in a Chinese reply every Latin word that is written small or belongs to everyday English, unless the question
has it; in an English one every letter of another script that the question does not put between quotation marks; and
letters of third scripts in both. Code is left out.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from localchat.engine.facade import Engine
from localchat.events import TextDelta
from localchat.messages import Message, ReplyOptions
from localchat.reply_language import told
from localchat.text.english_words import COMMON, UNITS
from localchat.text.scripts import LATIN_WORD, Script, script

CHINESE = [
    "What is machine learning?",
    "Explain photosynthesis in two sentences.",
    "Write a short email to my boss asking for a day off.",
    "Tell me about the history of the Great Wall.",
    "How do I make a cup of green tea?",
    "What does the idiom “break the ice” mean?",
    "Summarise: The quick brown fox jumps over the lazy dog and runs into the forest.",
    "Give me three tips for learning English.",
    "Who was William Shakespeare?",
    "Write a Python function that reverses a string and explain it.",
    "用一句话解释 overfitting 和 regularization 的区别。",
    "React 和 Vue 有什么不同？",
    "解释一下 HTTP 和 HTTPS 的区别。",
    "请介绍一下 deep learning 的主流 framework。",
    "把“我喜欢在周末读书”换一种说法。",
    "What are the planets of the solar system?",
    "Please list five famous universities in the USA.",
    "How does the Internet work?",
    "Write a haiku about autumn.",
    "Say hello and introduce yourself.",
]
ENGLISH = [
    "什么是机器学习？",
    "用两句话解释光合作用。",
    "给我的老板写一封请假的短信。",
    "讲讲长城的历史。",
    "怎样泡一杯绿茶？",
    "“画蛇添足”是什么意思？",
    "总结：小明每天早上六点起床，先跑步，然后吃早饭，再去上学。",
    "给我三个学习中文的建议。",
    "李白是谁？",
    "写一个反转字符串的 Python 函数，并解释它。",
    "What does the Chinese word “缘分” mean?",
    "How do you say “thank you” in Chinese?",
    "Explain the Chinese idiom “塞翁失马”.",
    "Who wrote the novel 红楼梦?",
    "Continue this poem: 床前明月光，",
    "太阳系有哪些行星？",
    "请列出中国的五所著名大学。",
    "互联网是怎样工作的？",
    "写一首关于秋天的诗。",
    "你好，请介绍一下你自己。",
]
MODES = {"as it likes": (False, False), "line": (True, False), "mask": (False, True), "both": (True, True)}

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_MARKED = re.compile(r"[“\"'「『《](.*?)[”\"'」』》]")


def counted(language: str, question: str, reply: str) -> tuple[int, int]:
    """Words or characters in the language, and outside it."""
    text = _CODE.sub(" ", reply)
    third = sum(script(c) is Script.OTHER for c in text)
    words = LATIN_WORD.findall(text)
    if language == "zh":
        known = {word.lower() for word in LATIN_WORD.findall(question)} - COMMON | UNITS
        plain = [w for w in words if len(w) > 1 and (w.islower() or w.lower() in COMMON) and w.lower() not in known]
        return sum(script(c) is Script.HAN for c in text), len(plain) + third
    quoted = set("".join(_MARKED.findall(question)))
    return len(words), sum(script(c) is Script.HAN and c not in quoted for c in text) + third


def ask(engine: Engine, question: str, language: str, line: bool, mask: bool, tokens: int) -> str:
    system = told("", language if line else "")
    messages = [Message("system", system)] if system else []
    options = ReplyOptions({"temperature": 0.0}, tokens, reply_language=language if mask else "")
    events = engine.reply([*messages, Message("user", question)], options)
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--show", action="store_true", help="print the replies too")
    chosen = parser.parse_args()
    engine = Engine()
    engine.load(chosen.model, 2048)
    print(f"{'':10} {'':12} {'off-script':>10} {'replies with some':>18} {'mostly off':>11}", flush=True)
    for language, questions in (("zh", CHINESE), ("en", ENGLISH)):
        for mode, (line, mask) in MODES.items():
            home = away = some = mostly = 0
            for question in questions[: chosen.prompts]:
                reply = ask(engine, question, language, line, mask, chosen.tokens)
                inside, outside = counted(language, question, reply)
                home, away = home + inside, away + outside
                some, mostly = some + bool(outside), mostly + (outside > inside)
                if chosen.show:
                    print(f"--- {language} {mode}: {question}  [{inside} {outside}]\n{reply}", flush=True)
            share = away / max(home + away, 1)
            print(f"{language:10} {mode:12} {share:10.1%} {some:18} {mostly:11}", flush=True)


if __name__ == "__main__":
    main()
