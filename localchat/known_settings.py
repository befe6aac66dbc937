"""Every setting that there is: what it may be, and the words that explain it in `config.toml` and on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from localchat.messages import SAMPLING_LIMITS, CacheChoice, Limits, Overflow
from localchat.reply_language import ANY, REPLY_LANGUAGES
from localchat.translation import LANGUAGES, _, mark

Value = str | bool | int | float

CHATS, REPLIES, SAMPLING, LOOKS, PROGRAM = (
    mark("Models and chats"),
    mark("Replies"),
    mark("Choice of words"),
    mark("Looks"),
    mark("Program"),
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One key.

    Attributes:
        table: "" or "sampling".
        kind: str, bool, the limits of a number, or the texts that it may be.
        label: its name on the screen. This and the next two are `mark`ed.
        comment: one line that explains it; the file gets it as a comment.
        group: where it stands on the screen.
    """

    key: str
    table: str
    kind: type[str] | type[bool] | Limits | tuple[str, ...]
    label: str
    comment: str
    group: str

    @property
    def path(self) -> tuple[str, ...]:
        return (self.table, self.key) if self.table else (self.key,)

    @property
    def variable(self) -> str:
        return f"LOCALCHAT_{self.key.upper()}"

    @property
    def allowed(self) -> str:
        if isinstance(self.kind, Limits):
            return str(self.kind)
        if isinstance(self.kind, tuple):
            return _("one of {names}").format(names=", ".join(f'"{text}"' for text in self.kind))
        return _("true or false") if self.kind is bool else _("a text in quotes")

    def allows(self, value: object) -> bool:
        if isinstance(self.kind, Limits):
            return self.kind.allows(value)
        return value in self.kind if isinstance(self.kind, tuple) else isinstance(value, self.kind)


# fmt: off
_ALL = (
    Setting("model", "", str, mark("Model"),
            mark("Name or path of the model for new conversations."), CHATS),
    Setting("system_prompt", "", str, mark("System prompt"),
            mark("Told to the model before every conversation."), CHATS),
    Setting("context_length", "", Limits(64, 10_000_000, whole=True), mark("Context"),
            mark("Tokens of a conversation kept in view."), CHATS),
    Setting("cache", "", get_args(CacheChoice), mark("Cache"),
            mark("Hold what was read in full, in int8 (half the memory) or int4 (a third); auto goes by the memory."),
            CHATS),
    Setting("overflow", "", get_args(Overflow), mark("When it is full"),
            mark("What a full context does: oldest messages go, a summary stands for them, or nothing is sent (stop)."),
            CHATS),
    Setting("titles", "", bool, mark("Titles"),
            mark("The model gives new conversations their titles."), CHATS),
    Setting("max_tokens", "", Limits(1, 10_000_000, whole=True), mark("Longest reply"),
            mark("A reply has at most this many tokens."), REPLIES),
    Setting("thinking", "", ("", "on", "off"), mark("Think first"),
            mark("Let models that can be told think before they answer: on or off; empty leaves it to them."), REPLIES),
    Setting("loop_guard", "", bool, mark("Loop guard"),
            mark("End a reply that goes round in circles, and cut it back to where that began."), REPLIES),
    Setting("speculation", "", bool, mark("Guess ahead"),
            mark("Guess what repeats itself and read it several tokens at once: faster, and the same reply."), REPLIES),
    Setting("draft_model", "", str, mark("Draft model"),
            mark("Name or path of a smaller model of the same family that guesses ahead; empty is none."), REPLIES),
    Setting("reply_language", "", ("", *REPLY_LANGUAGES, ANY), mark("Reply language"),
            mark("Hold replies to Chinese (zh) or English (en), but for code and names; empty leaves it to the model."),
            REPLIES),
    Setting("temperature", "sampling", SAMPLING_LIMITS["temperature"], mark("Temperature"),
            mark("How daring the choice of words is; 0 always takes the likeliest."), SAMPLING),
    Setting("top_k", "sampling", SAMPLING_LIMITS["top_k"], mark("Top k"),
            mark("Choose among the k likeliest tokens; 0 is all of them."), SAMPLING),
    Setting("top_p", "sampling", SAMPLING_LIMITS["top_p"], mark("Top p"),
            mark("Choose among the likeliest tokens that together have this probability; 1 is all of them."), SAMPLING),
    Setting("min_p", "sampling", SAMPLING_LIMITS["min_p"], mark("Min p"),
            mark("Leave out tokens less likely than this share of the likeliest; 0 leaves out none."), SAMPLING),
    Setting("typical_p", "sampling", SAMPLING_LIMITS["typical_p"], mark("Typical p"),
            mark("Choose among tokens about as surprising as expected, up to this probability; 1 is all of them."),
            SAMPLING),
    Setting("xtc_probability", "sampling", SAMPLING_LIMITS["xtc_probability"], mark("XTC probability"),
            mark("How often the likeliest tokens are left out, for something less obvious; 0 is never."), SAMPLING),
    Setting("xtc_threshold", "sampling", SAMPLING_LIMITS["xtc_threshold"], mark("XTC threshold"),
            mark("Tokens this likely are left out then, but the last of them."), SAMPLING),
    Setting("mirostat_tau", "sampling", SAMPLING_LIMITS["mirostat_tau"], mark("Mirostat tau"),
            mark("Steer to this surprise, in bits, instead of using top k and all p; about 5, and 0 is off."),
            SAMPLING),
    Setting("mirostat_eta", "sampling", SAMPLING_LIMITS["mirostat_eta"], mark("Mirostat eta"),
            mark("How fast mirostat steers."), SAMPLING),
    Setting("repetition_penalty", "sampling", SAMPLING_LIMITS["repetition_penalty"], mark("Repetition penalty"),
            mark("Above 1, what was said before becomes less likely."), SAMPLING),
    Setting("frequency_penalty", "sampling", SAMPLING_LIMITS["frequency_penalty"], mark("Frequency penalty"),
            mark("Above 0, a token becomes less likely each time the reply uses it."), SAMPLING),
    Setting("presence_penalty", "sampling", SAMPLING_LIMITS["presence_penalty"], mark("Presence penalty"),
            mark("Above 0, a token that the reply used once becomes less likely."), SAMPLING),
    Setting("dry_multiplier", "sampling", SAMPLING_LIMITS["dry_multiplier"], mark("DRY multiplier"),
            mark("Above 0, going on with a repetition becomes less likely, the longer it is; about 0.8."), SAMPLING),
    Setting("dry_base", "sampling", SAMPLING_LIMITS["dry_base"], mark("DRY base"),
            mark("How fast that grows with the length of the repetition."), SAMPLING),
    Setting("dry_allowed_length", "sampling", SAMPLING_LIMITS["dry_allowed_length"], mark("DRY allowed length"),
            mark("Repetitions of fewer tokens than this go free."), SAMPLING),
    Setting("dry_breakers", "sampling", SAMPLING_LIMITS["dry_breakers"], mark("DRY breakers"),
            mark("1 counts no repetition across line ends, colons, quotes and asterisks; 0 does."), SAMPLING),
    Setting("seed", "sampling", SAMPLING_LIMITS["seed"], mark("Seed"),
            mark("The same seed gives the same reply; without it every reply is fresh."), SAMPLING),
    Setting("language", "", ("", *LANGUAGES), mark("Language"),
            mark("Language of the app: en or zh; empty follows the system."), LOOKS),
    Setting("theme", "", str, mark("Theme"),
            mark("Colours of the app."), LOOKS),
    Setting("sidebar", "", bool, mark("List of chats"),
            mark("Show the list of conversations."), LOOKS),
    Setting("linear", "", bool, mark("Plain lines"),
            mark("Plain lines instead of a screen, for screen readers; from the next start."), LOOKS),
    Setting("keep_edits", "", ("", "on", "off"), mark("Keep edits"),
            mark("Keep what you take and leave of a model's changes, to tune one on later: on or off; empty asks once."
                 ), PROGRAM),
    Setting("enter_sends", "", bool, mark("Enter sends"),
            mark("Enter sends; if false, Enter breaks the line and Ctrl+J sends."), PROGRAM),
    Setting("unload_after", "", Limits(0, 10_080, whole=True), mark("Unload after"),
            mark("Minutes without a question until the model gives its memory back; 0 is never."), PROGRAM),
    Setting("cache_memory", "", Limits(0, 10_000_000, whole=True), mark("Chats in memory"),
            mark("Megabytes of memory for what the model read in other chats; unset, a quarter of what is free."),
            PROGRAM),
    Setting("cache_disk", "", Limits(0, 10_000_000, whole=True), mark("Chats on disk"),
            mark("Megabytes on disk for what the model read, so that chats go on at once after a restart; 0 is none."),
            PROGRAM),
    Setting("lock_after", "", Limits(0, 10_080, whole=True), mark("Lock after"),
            mark("Minutes without a key until an encrypted history is locked; 0 is never."), PROGRAM),
)
# fmt: on

SETTINGS: Mapping[str, Setting] = {setting.key: setting for setting in _ALL}

KEYS_TABLE = "keys"
"""The table of the user's keys: names of actions and the keys that they get. Which there are, only the app knows."""


def key_setting(action_id: str) -> Setting:
    """The entry of the keys' table for one action."""
    return Setting(action_id, KEYS_TABLE, str, action_id, mark("Keys of an action, separated by commas."), PROGRAM)


def thinks(value: str | None) -> bool | None:
    """What a value of the setting `thinking` means; None leaves it to the model."""
    return {"on": True, "off": False}.get(value or "")
