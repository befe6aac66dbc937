"""What was decided about a model's changes, piece by piece, in the form in which it is kept for tuning."""

from __future__ import annotations

from typing import Any

from localchat.writing.changes import applied
from localchat.writing.language import language_of
from localchat.writing.review import Review
from localchat.writing.work import Work


def decided(work: Work, review: Review, model: str, begin: int = 0) -> list[dict[str, Any]]:
    """One entry for each piece about which anything was decided.

    Each holds `action`, `variables`, `language`, `model`, the `question` that was asked, the piece as it was
    (`original`), as the model wanted it (`proposed`) and as its writer took it (`kept`), and the `changes` from the
    first to the second: characters `start` to `end` of the original, `old`, `new`, and `decision` ("accepted",
    "rejected" or null).

    Args:
        review: of the whole text, of which the work was done on the part that begins at character `begin`.
    """
    found = []
    for outcome in work.outcomes:
        start, end = outcome.piece.start + begin, outcome.piece.end + begin
        numbers = [number for number, change in enumerate(review.changes) if start <= change.start <= change.end <= end]
        if all(review.decision(number) is None for number in numbers):
            continue
        original = review.original[start:end]
        moved = {number: review.changes[number].moved(-start) for number in numbers}
        accepted = [change for number, change in moved.items() if review.decision(number) == "accepted"]
        found.append(
            {
                "action": work.action.name,
                "variables": dict(work.chosen),
                "language": language_of(original),
                "model": model,
                "question": work.question_about(outcome.piece),
                "original": original,
                "proposed": applied(original, moved.values()),
                "kept": applied(original, accepted),
                "changes": [
                    {"start": c.start, "end": c.end, "old": c.old, "new": c.new, "decision": review.decision(number)}
                    for number, c in moved.items()
                ],
            }
        )
    return found
