"""Guessing what a model is about to write, so that it reads several tokens at once instead of one after another.

Nothing is lost by it. The model reads its last token and the guesses behind it in one call; then the reply's own
sampler draws a token after the last one, after the first guess, and so on for as long as what it draws is the guess.
It sees the same logits, to the bit, and takes the same random numbers as without guesses, so the reply is the same
token for token, whatever is guessed, with every sampling option. Hence it is done only where reading several tokens
at once promises the same bits as reading them one by one (see `refusal`).

Guesses come from `Lookup`, and from a smaller model of the same vocabulary if there is one. Source of the verification:
Leviathan et al., Fast Inference from Transformers via Speculative Decoding, 2023; drawing with the reply's own random
numbers is simpler than their rejection sampling, and keeps what a seed means.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from localchat.engine.speculation_lookup import LONGEST, Lookup
from localchat.engine.speculation_model import DraftModel, load_draft
from localchat.engine.speculation_policy import MOST, Chances, Costs, Ledger, best_length
from localchat.errors import InvalidSetting, LocalChatError, Stopped
from localchat.model.decoder import Check
from localchat.model.load import LoadedModel
from localchat.model.plan import Plan
from localchat.text.tokenizer import Tokenizer
from localchat.translation import _

_EXPECTED = (0.35, 0.5, 0.5, 0.65, 0.74, 0.8, 0.84, 0.88, 0.9, 0.9, 0.9, 0.91, 0.92, 0.93, 0.94, 0.94, 0.97)
"""By the tokens that matched, how often the next one was right: two models, 60 replies that rewrite, correct, quote,
summarise and chat, in two languages (tests/engine/measure_speculation.py)."""
_BY_DRAFT = LONGEST + 1  # the kind of a draft model's guesses
_EXPECTED_OF_DRAFT = 0.7
_SURE = 3  # tokens that matched, from which on a lookup goes before a draft model


def refusal(model: LoadedModel) -> str | None:
    """Why replies are written token by token; None where they need not be."""
    if not isinstance(model.decoder, Plan):
        return _("several tokens at once are rounded the same as one by one in native code on the CPU only")
    if model.spec.keeps_states:
        return _("it keeps states, which cannot be taken back")
    fallbacks = ((name, reason) for name, reason in model.decoder.fallbacks.items() if name != "embedding")
    if (found := next(fallbacks, None)) is not None:
        return _("{part} runs through torch ({reason}), which may round several tokens otherwise than one").format(
            part=found[0], reason=found[1]
        )
    return None


class Speculator:
    """What is known of one model for guessing ahead of it.

    Attributes:
        refusal: why there is no guessing; None where there is.
        draft: a smaller model of the same vocabulary that guesses, if there is one.
        draft_problem: why the one that was asked for does not.
    """

    def __init__(self, model: LoadedModel) -> None:
        self.refusal = refusal(model)
        self.draft: DraftModel | None = None
        self.draft_problem: LocalChatError | None = None
        self._costs = Costs()

    def load_draft(self, path: Path, tokenizer: Tokenizer, context_length: int, check: Check | None = None) -> None:
        """Load the model at `path` to guess ahead of this one, whose tokenizer this is. A failure is in
        `draft_problem`, as everything works without.

        Raises:
            Stopped: `check` said so.
        """
        try:
            if self.refusal is not None:
                raise InvalidSetting(_("No model can guess ahead of this one: {reason}.").format(reason=self.refusal))
            self.draft = load_draft(path, tokenizer, context_length, check=check)
        except Stopped:
            raise
        except LocalChatError as error:
            self.draft_problem = error

    def begin(self, prompt: Sequence[int], check: Check | None = None) -> Speculation | None:
        """For one reply; None where there is no guessing.

        Args:
            check: called while a draft model reads; what it raises passes through.
        """
        if self.refusal is not None:
            return None
        if self.draft is not None:
            self.draft.begin(check)
        return Speculation(prompt, self._costs, self.draft)


class Speculation:
    """The guesses of one reply.

    Attributes:
        drafted: guesses that the model read.
        accepted: of those, how many became tokens of the reply.
    """

    def __init__(self, prompt: Sequence[int], costs: Costs, draft: DraftModel | None = None) -> None:
        self.drafted = self.accepted = 0
        self._costs, self._ledger = costs, Ledger()
        self._chances = Chances([*_EXPECTED, _EXPECTED_OF_DRAFT])
        self._lookup, self._draft = Lookup(prompt), draft
        self._open: deque[int] = deque()  # guesses that were read and not come to yet
        self._by_draft = False  # they were made by it

    def draft(self, most: int) -> list[int]:
        """Tokens to read behind the last one, at most `most`; none where that would not pay."""
        most = min(most, MOST)
        if not self._costs.known or most < 1:
            return []
        guesses = self._guessed_by_draft(most) if self._lookup.matched < _SURE else []
        self._by_draft = bool(guesses)
        guesses = guesses or self._looked_up(most)
        self._open.extend(guesses)
        self.drafted += len(guesses)
        return guesses

    def took(self, count: int, seconds: float) -> None:
        """Reading the last token did, and with it the guesses that `draft` gave, together `count`."""
        self._costs.took(count, seconds)
        self._ledger.spent(self._costs.excess(count - 1))

    def accept(self, token: int) -> None:
        """`token` is now part of the reply."""
        lookup = self._lookup
        if lookup.matched >= 0:  # whether or not the model read that guess
            self._chances.saw(lookup.matched, lookup.next == token)
        lookup.accept(token)
        was_guessed = False
        if self._open:
            was_guessed = self._open.popleft() == token
            if self._by_draft:
                self._chances.saw(_BY_DRAFT, was_guessed)
        if was_guessed:
            self.accepted += 1
        else:
            self._open.clear()
        self._ledger.wrote(was_guessed)

    def _looked_up(self, most: int) -> list[int]:
        matched = self._lookup.matched
        if matched < 0:
            return []
        chances = [self._chances.of(min(matched + later, LONGEST)) for later in range(most)]
        return self._lookup.guess(best_length(chances, self._costs, self._ledger.credit))

    def _guessed_by_draft(self, most: int) -> list[int]:
        if self._draft is None:
            return []
        each = self._costs.steps(self._draft.seconds_a_token)
        chances = [self._chances.of(_BY_DRAFT)] * most
        count = best_length(chances, self._costs, self._ledger.credit, each)
        if not count:
            return []
        self._ledger.spent(count * each)
        return self._draft.guess(self._lookup.tokens, count)
