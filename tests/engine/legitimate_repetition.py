"""Texts that repeat themselves for a reason, made here: what a model may rightly write and nobody wants cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

NAMES = (
    "Anna",
    "Ben",
    "Clara",
    "David",
    "Eva",
    "Felix",
    "Greta",
    "Hugo",
    "Iris",
    "Jonas",
    "Klara",
    "Leo",
    "Mia",
    "Noah",
)
CHINESE_NAMES = ("王芳", "李伟", "张敏", "刘洋", "陈静", "杨磊", "赵娜", "黄强", "周杰", "吴婷", "徐勇", "孙丽")
TOWNS = ("Ghent", "Oslo", "Porto", "Lyon", "Graz", "Turku", "Split", "Delft", "Siena", "Bergen", "Nara", "Perth")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October")
FRUIT = ("apple", "pear", "plum", "cherry", "quince", "fig", "grape", "melon", "peach", "lemon", "lime", "mango")


def _poem_with_refrain(_random: Random) -> str:
    verses = (
        "I left my boat upon the sand\nAnd walked along the shore,\n",
        "I took a lantern in my hand\nAnd knocked upon a door,\n",
        "An old man gave me bread and wine\nAnd told me of the war,\n",
        "I asked him for a word or sign\nHe only told me more,\n",
        "The morning broke, the gulls were white,\nMy boat was there no more,\n",
        "I wait for it by day and night\nUpon the empty shore,\n",
    )
    return "\n".join(f"{verse}And the sea went on, and the sea went on,\nAs it had gone before.\n" for verse in verses)


def _song_with_chorus(_random: Random) -> str:
    chorus = "Oh, carry me home, carry me home,\nDown to the river where the willows have grown,\nCarry me home.\n"
    verses = ("The road is long and the night is cold.", "My shoes are torn and my coat is old.", "The moon is up.")
    return "\n".join(f"{verse}\n{chorus}\n{chorus}" for verse in verses)


def _la_la_la(_random: Random) -> str:
    return (
        "Oh, the summer is here!\n"
        + ("La la la la, la la la la, la la la la la!\n" * 4)
        + "And we dance all the year.\n" * 2
    )


def _cumulative_song(_random: Random) -> str:
    lines, result = [], []
    for number, fruit in enumerate(FRUIT[:9], 1):
        lines.insert(0, f"{number} {fruit}s in a row")
        result.append(f"On day {number} my neighbour gave to me\n" + ",\n".join(lines) + ".\n")
    return "\n".join(result)


def _anaphora(_random: Random) -> str:
    ends = ("the hills and the valleys", "the bread on the table", "the child in the cradle", "the ship on the ocean")
    return "\n".join(f"I sing of {end}, and I shall sing of it again." for end in ends)


def _litany(_random: Random) -> str:
    pleas = ("those who sail", "those who wait", "those who sow", "those who reap", "those who are ill",
             "those who watch", "those who travel", "those who stay behind")  # fmt: skip
    return "\n".join(f"For {plea}: Lord, hear us. Lord, graciously hear us." for plea in pleas)


def _laughter(_random: Random) -> str:
    return "Ha ha ha ha ha ha ha ha ha! That was the best joke of the evening. Ho ho ho ho ho! Tell it again!"


def _applause(_random: Random) -> str:
    return "🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉 Congratulations! 🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉\n\n" + "👏" * 24 + "\n"


def _lines_for_punishment(_random: Random) -> str:
    return "I will not talk in class.\n" * 10


def _table(random: Random) -> str:
    rows = "".join(f"| {name} | {random.randint(18, 80)} | {random.choice(TOWNS)} |\n" for name in NAMES)
    return f"| Name | Age | Town |\n| --- | --- | --- |\n{rows}"


def _table_of_yes_and_no(random: Random) -> str:
    rows = "".join(f"| {fruit} | {' | '.join(random.choice(('Yes', 'No')) for _ in range(4))} |\n" for fruit in FRUIT)
    return f"| Fruit | Sweet | Red | Stone | Vine |\n|---|---|---|---|---|\n{rows}"


def _table_all_the_same(_random: Random) -> str:
    return "| Room | Light |\n|---|---|\n" + "".join(f"| {name}'s room | Off |\n" for name in NAMES)


def _empty_table(_random: Random) -> str:
    return "| Date | Weight | Note |\n|------|------|------|\n" + "|      |      |      |\n" * 15


def _multiplication_table(_random: Random) -> str:
    rows = "".join(f"| {a} | " + " | ".join(str(a * b) for b in range(1, 11)) + " |\n" for a in range(1, 11))
    return f"| x | {' | '.join(map(str, range(1, 11)))} |\n|{'---|' * 11}\n{rows}"


def _seven_times(_random: Random) -> str:
    return "\n".join(f"{number} x 7 = {number * 7}" for number in range(1, 21))


def _squares(_random: Random) -> str:
    return "\n".join(f"The square of {number} is {number * number}." for number in range(1, 21))


def _count_to_a_hundred(_random: Random) -> str:
    return ", ".join(map(str, range(1, 101))) + "."


def _count_down(_random: Random) -> str:
    return "\n".join(f"{number}..." for number in range(30, 0, -1)) + "\nLift-off!"


def _even_numbers(_random: Random) -> str:
    return "[" + ", ".join(map(str, range(0, 160, 2))) + "]"


def _weeks_to_tick(_random: Random) -> str:
    return "\n".join(f"- [ ] Week {number}" for number in range(1, 27))


def _chapters(random: Random) -> str:
    return "\n".join(
        f"Chapter {number}: The {random.choice(FRUIT)} of {random.choice(NAMES)}" for number in range(1, 25)
    )


def _list_of_names(random: Random) -> str:
    return "\n".join(f"{number}. {random.choice(NAMES)} from {random.choice(TOWNS)}" for number in range(1, 41))


def _packing_list(_random: Random) -> str:
    return "\n".join(f"- One {fruit} for the road" for fruit in FRUIT)


def _rota(_random: Random) -> str:
    return "\n".join(
        f"Week {week}, {day}: {NAMES[(week * 7 + place) % 14]}" for week in range(4) for place, day in enumerate(DAYS)
    )


def _timetable(_random: Random) -> str:
    return "\n".join(f"- {day}: 9:00 to 12:00 lessons, 12:00 to 13:00 lunch, 13:00 to 16:00 lessons" for day in DAYS)


def _calendar(_random: Random) -> str:
    return "\n".join(f"{month} 1: rent. {month} 15: insurance." for month in MONTHS)


def _json_people(random: Random) -> str:
    people = [{"id": number, "name": random.choice(NAMES), "age": random.randint(20, 70)} for number in range(20)]
    return f"```json\n{json.dumps(people, indent=2)}\n```"


def _json_points(random: Random) -> str:
    points = [{"x": random.randint(0, 99), "y": random.randint(0, 99)} for _ in range(40)]
    return json.dumps({"points": points})


def _json_settings(_random: Random) -> str:
    return json.dumps({fruit: {"enabled": True, "visible": True, "order": 0} for fruit in FRUIT}, indent=2)


def _json_zeros(_random: Random) -> str:
    return json.dumps({"matrix": [[0] * 8 for _ in range(8)]})


def _identity_matrix(_random: Random) -> str:
    return "```\n" + "\n".join(" ".join("1" if a == b else "0" for b in range(10)) for a in range(10)) + "\n```"


def _array_of_zeros(_random: Random) -> str:
    return "```c\nstatic const int table[64] = {" + ", ".join(["0"] * 64) + "};\n```"


def _hex_dump(random: Random) -> str:
    rows = (" ".join(f"{random.randint(0, 255):02x}" for _ in range(16)) for _ in range(10))
    return "\n".join(f"{number * 16:08x}  {row}" for number, row in enumerate(rows))


def _getters(_random: Random) -> str:
    methods = "".join(f"    def get_{each}(self):\n        return self._{each}\n\n" for each in FRUIT)
    return f"```python\nclass Basket:\n{methods}```"


def _asserts(_random: Random) -> str:
    return "```python\n" + "".join(f"assert square({n}) == {n * n}\n" for n in range(15)) + "```"


def _switch(_random: Random) -> str:
    cases = "".join(f'        case {number}:\n            return "{day}";\n' for number, day in enumerate(DAYS))
    head, end = "String name(int day) {\n    switch (day) {\n", "        default:\n            return null;\n    }\n}\n"
    return f"```java\n{head}{cases}{end}```"


def _html_table(_random: Random) -> str:
    return "```html\n<table>\n" + "  <tr>\n    <td></td>\n    <td></td>\n  </tr>\n" * 10 + "</table>\n```"


def _html_list(_random: Random) -> str:
    items = "".join(f'  <li class="item"><a href="#{fruit}">{fruit.title()}</a></li>\n' for fruit in FRUIT)
    return f"```html\n<ul>\n{items}</ul>\n```"


def _css(_random: Random) -> str:
    return "```css\n" + "".join(f".{fruit} {{\n  color: red;\n  margin: 0;\n}}\n\n" for fruit in FRUIT) + "```"


def _sql_inserts(random: Random) -> str:
    rows = (f"INSERT INTO people (id, name) VALUES ({n}, '{random.choice(NAMES)}');" for n in range(1, 21))
    return "```sql\n" + "\n".join(rows) + "\n```"


def _server_log(random: Random) -> str:
    lines, at = [], 0
    for _ in range(25):
        at += random.randint(1, 40)
        path = random.choice(("/", "/index.html", "/about"))
        lines.append(f"2024-05-01 10:{at // 60:02d}:{at % 60:02d} INFO GET {path} 200 {random.randint(2, 90)} ms")
    return "\n".join(lines)


def _heartbeat_log(random: Random) -> str:
    return "\n".join(
        f"[{n * 30 // 60:02d}:{n * 30 % 60:02d}] heartbeat ok, {random.randint(20, 30)} ms" for n in range(20)
    )


def _training_log(random: Random) -> str:
    return "\n".join(
        f"Epoch {n}/20 - loss: {3 / n + random.random() / 9:.4f} - accuracy: {1 - 1 / (n + 1):.4f}"
        for n in range(1, 21)
    )


def _test_run(_random: Random) -> str:
    files = "".join(f"tests/test_{fruit}.py {'.' * 24} [{9 * n:3d}%]\n" for n, fruit in enumerate(FRUIT))
    return f"{'=' * 70}\n{files}{'=' * 70}\n"


def _progress(_random: Random) -> str:
    return "\n".join(f"[{'#' * n}{' ' * (20 - n)}] {5 * n}%" for n in range(21))


def _chessboard(_random: Random) -> str:
    return "```\n" + ("# . # . # . # .\n. # . # . # . #\n" * 4) + "```"


def _picture_of_letters(_random: Random) -> str:
    return "```\n" + "\n".join(" " * (12 - n) + "*" * (2 * n + 1) for n in range(12)) + "\n```"


def _dialogue(_random: Random) -> str:
    return "\n".join(f'"Is it in {town}?" she asked.\n"No," he said.' for town in TOWNS)


def _proof_by_cases(_random: Random) -> str:
    return "\n".join(
        f"Case {n}: x leaves the remainder {n} when divided by 7. Then x squared leaves {n * n % 7}." for n in range(7)
    )


def _dna(random: Random) -> str:
    return "".join(random.choice("ACGT") for _ in range(400))


def _couplets(_random: Random) -> str:
    return "\n".join((
        "上联：春风春雨春色，下联：新年新岁新景。", "上联：绿水本无忧，因风皱面；下联：青山原不老，为雪白头。",
        "上联：风声雨声读书声，声声入耳；下联：家事国事天下事，事事关心。",
        "上联：山山水水处处明明秀秀，下联：晴晴雨雨时时好好奇奇。",
        "上联：重重叠叠山，下联：曲曲环环路。", "上联：高高下下树，下联：叮叮咚咚泉。",
    ))  # fmt: skip


def _chinese_poem(_random: Random) -> str:
    verses = (
        "田里的麦子黄了",
        "河边的柳树绿了",
        "檐下的燕子来了",
        "村口的灯火亮了",
        "天上的月亮圆了",
        "山里的雪花落了",
    )
    return "\n\n".join(f"{verse}，\n你回不回来？\n我在门前等着你，\n等着你回来。" for verse in verses)


def _chinese_multiplication(_random: Random) -> str:
    digits = "一二三四五六七八九"
    return "\n".join("，".join(f"{digits[a]}{digits[b]}得{(a + 1) * (b + 1)}" for a in range(b + 1)) for b in range(9))


def _chinese_table(random: Random) -> str:
    rows = "".join(
        f"| {name} | {random.randint(60, 100)} | {random.choice(('及格', '良好', '优秀'))} |\n"
        for name in CHINESE_NAMES
    )
    return f"| 姓名 | 分数 | 等级 |\n| --- | --- | --- |\n{rows}"


def _chinese_register(_random: Random) -> str:
    return "\n".join(f"{number}. {name}，已到。" for number, name in enumerate(CHINESE_NAMES, 1))


def _chinese_timetable(_random: Random) -> str:
    return "\n".join(f"星期{day}：上午语文、数学，下午英语、体育，晚上自习。" for day in "一二三四五六日")


def _chinese_chronicle(random: Random) -> str:
    return "\n".join(
        f"{year}年，{random.choice(CHINESE_NAMES)}当选会长，{random.choice(CHINESE_NAMES)}当选秘书。"
        for year in range(1990, 2012)
    )


def _chinese_log(random: Random) -> str:
    return "\n".join(
        f"第{n}次：体温{36 + random.randint(0, 9) / 10}度，血压{random.randint(110, 130)}，正常。" for n in range(1, 21)
    )


def _chinese_wishes(_random: Random) -> str:
    return "\n".join(f"祝{name}新年快乐，身体健康，万事如意！" for name in CHINESE_NAMES)


def _chinese_steps(_random: Random) -> str:
    things = ("苹果", "梨子", "香蕉", "葡萄", "西瓜", "桃子", "樱桃", "橘子")
    return "\n".join(f"第{n}步：把{thing}洗干净，去皮，切成小块，放进碗里。" for n, thing in enumerate(things, 1))


def texts() -> dict[str, str]:
    """All of them by name; the same at every call."""
    makers: dict[str, Callable[[Random], str]] = {
        name[1:]: made
        for name, made in globals().items()
        if name.startswith("_") and not name.startswith("__") and callable(made)
    }
    return {name: make(Random(name)) for name, make in makers.items()}
