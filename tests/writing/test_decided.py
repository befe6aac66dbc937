"""What is kept of the decisions about a model's changes."""

from __future__ import annotations

from localchat.writing.actions import find_action
from localchat.writing.decided import decided
from localchat.writing.review import Review
from localchat.writing.work import Work

BEFORE = "As it was before: "
TEXT = "The garden are quiet and we likes it.\n\nNothing is wrong here.\n\n我门很高兴，但是天气很冷。"
ANSWERS = ["The garden is quiet and we like it.", "Nothing is wrong here.", "我们很高兴，但是天气很冷。"]


def reviewed() -> tuple[Work, Review]:
    """A work on what follows `BEFORE`, and a review of the whole."""
    work = Work(find_action("proofread"), TEXT)
    for answer in ANSWERS:
        assert work.request() is not None
        assert work.answered(answer, "stop") is not None
    return work, Review(BEFORE + TEXT, [change.moved(len(BEFORE)) for change in work.changes()])


def test_a_piece_is_kept_with_what_was_proposed_and_what_was_taken() -> None:
    work, review = reviewed()
    review.decide("accepted", [0])
    review.decide("rejected", [1])
    (edit,) = decided(work, review, "small", len(BEFORE))
    assert edit["original"] == "The garden are quiet and we likes it."
    assert edit["proposed"] == "The garden is quiet and we like it."
    assert edit["kept"] == "The garden is quiet and we likes it."
    assert (edit["action"], edit["language"], edit["model"]) == ("proofread", "en", "small")
    assert edit["question"].endswith(edit["original"])
    assert [(c["old"], c["new"], c["decision"]) for c in edit["changes"]] == [
        ("are", "is", "accepted"),
        ("likes", "like", "rejected"),
    ]
    for change in edit["changes"]:
        assert edit["original"][change["start"] : change["end"]] == change["old"]


def test_pieces_about_which_nothing_was_decided_are_not_kept() -> None:
    work, review = reviewed()
    assert decided(work, review, "small", len(BEFORE)) == []
    review.decide("rejected", [2])
    (edit,) = decided(work, review, "small", len(BEFORE))
    assert edit["language"] == "zh"
    assert edit["kept"] == edit["original"] == "我门很高兴，但是天气很冷。"
