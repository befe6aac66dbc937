"""What the user writes to name a model of the hub: `hf:OWNER/REPOSITORY[:FILE][@REVISION]`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from localchat.errors import InvalidSetting
from localchat.translation import _

PREFIX = "hf:"
DEFAULT_REVISION = "main"
_WORD = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_NAME = re.compile(rf"hf:(?P<repository>{_WORD}/{_WORD})(?::(?P<file>[^@\0\\]+))?(?:@(?P<revision>[^\s\0]+))?")


@dataclass(frozen=True, slots=True)
class HubName:
    """A repository of models, or one file of it.

    Attributes:
        repository: "OWNER/REPOSITORY".
        file: a GGUF file in it; empty for whatever suits best.
        revision: a branch, a tag or a commit.
    """

    repository: str
    file: str = ""
    revision: str = DEFAULT_REVISION

    def __str__(self) -> str:
        file = f":{self.file}" if self.file else ""
        revision = f"@{self.revision}" if self.revision != DEFAULT_REVISION else ""
        return f"{PREFIX}{self.repository}{file}{revision}"


def parse_hub_name(text: str) -> HubName:
    """The name that `text` is.

    Raises:
        InvalidSetting: it is none.
    """
    found = _NAME.fullmatch(text)
    # The hub itself forbids the two sequences in repository names.
    if found is None or ".." in text or "--" in found["repository"]:
        raise InvalidSetting(
            _("{text} does not name a model of the hub.").format(text=repr(text)),
            _(
                "Write hf:OWNER/REPOSITORY, hf:OWNER/REPOSITORY:FILE.gguf, and @REVISION after either for "
                "another than the newest."
            ),
        )
    return HubName(found["repository"], found["file"] or "", found["revision"] or DEFAULT_REVISION)
