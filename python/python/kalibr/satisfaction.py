"""How a user's next message reads, for looking at it: nothing is recorded and nothing is sent.

    from kalibr.satisfaction import classify_satisfaction

    classify_satisfaction("That's wrong, try again.")  # "negative"

`report_user_turn` reads messages in the same way, and records what they assert.
"""

from __future__ import annotations

import json
from typing import Any

from kalibr import _engine, _kalibr, _send

__all__ = ["Satisfaction", "classify_satisfaction"]

_WORDS = {"acceptance": "positive", "rejection": "negative", "continuation": "neutral"}


class Satisfaction(str):
    """`"positive"`, `"negative"` or `"neutral"`, with what it was judged by.

    `"neutral"` is also what is too unsure to become a signal: `label` then tells what is likeliest all the same.
    """

    label: str
    """The most probable of acceptance, rejection and continuation."""
    probabilities: dict[str, float]
    """The probability of each of them; they sum to 1."""
    asserted: bool
    """Whether such a message becomes a signal."""
    dimension: str | None
    """What a rejection finds fault with, where that can be told: length, tone, format, content, factuality or
    completeness."""
    reasons: dict[str, float]
    """What decided, the weightiest first: a name from a closed list, and what it added to the label's log-odds."""

    def __new__(cls, told: dict[str, Any]) -> Satisfaction:
        word = _WORDS[told["label"]] if told["asserted"] else "neutral"
        made = super().__new__(cls, word)
        made.label = told["label"]
        made.probabilities = told["probabilities"]
        made.asserted = told["asserted"]
        made.dimension = told["dimension"]
        made.reasons = {reason["clue"]: reason["contribution"] for reason in told["reasons"]}
        return made


def classify_satisfaction(
    user_message: str,
    prior_output: str | None = None,
    prior_user_prompt: str | None = None,
    *,
    model: Any = None,
) -> Satisfaction:
    """Says whether a message accepts the answer before it, rejects it, or neither.

    Args:
        user_message: what the user wrote.
        prior_output: the answer before it, if it is at hand.
        prior_user_prompt: the request before that answer, if it is at hand.
        model: not looked at. The hosted SDK takes one; here no model is called.

    Raises:
        TypeError: for what is not a text.

    Example:
        verdict = classify_satisfaction("Perfect, thanks!", prior_output=answer)
        print(verdict, verdict.probabilities["acceptance"])
    """
    for name, text in (("prior_output", prior_output), ("prior_user_prompt", prior_user_prompt)):
        if text is not None and not isinstance(text, str):
            raise TypeError(f"{name} is a string or None")
    if not isinstance(user_message, str):
        raise TypeError("user_message is what the user wrote, a string")
    told = _kalibr.classify(
        _send.readable(user_message),
        None if prior_output is None else _send.readable(prior_output),
        None if prior_user_prompt is None else _send.readable(prior_user_prompt),
        engine=_engine.opened(),
    )
    return Satisfaction(json.loads(told))
