"""How messages read, for looking at them."""

from __future__ import annotations

import kalibr
import pytest
from kalibr.satisfaction import classify_satisfaction


@pytest.mark.parametrize(
    ("message", "word", "label"),
    [
        ("This is wrong, try again.", "negative", "rejection"),
        ("Perfect, thank you!", "positive", "acceptance"),
        ("And what about the second chapter?", "neutral", "continuation"),
        ("I know the exchange rate now, please continue", "neutral", "continuation"),
        ("", "neutral", "continuation"),
        ("\ud83d", "neutral", "continuation"),
    ],
)
def test_a_message_reads_as_what_it_says(message: str, word: str, label: str) -> None:
    verdict = classify_satisfaction(message)
    assert (verdict, verdict.label) == (word, label)
    assert abs(sum(verdict.probabilities.values()) - 1) < 1e-9
    assert verdict.asserted == (word != "neutral")


def test_what_decided_is_named_and_never_quoted() -> None:
    verdict = classify_satisfaction("This is far too long, zyxcanary")
    assert verdict.reasons
    assert "zyxcanary" not in repr(vars(verdict))
    assert verdict.dimension == "length"


def test_what_came_before_counts() -> None:
    request = "Sort this list of words by their length, longest first"
    alone = classify_satisfaction(request)
    again = classify_satisfaction(request, prior_user_prompt=request, prior_output="Here is a list.")
    assert again.probabilities["rejection"] > alone.probabilities["rejection"]


def test_it_is_in_the_package_and_refuses_what_is_no_text() -> None:
    assert kalibr.classify_satisfaction is classify_satisfaction
    for bad in (None, 3, b"bytes"):
        with pytest.raises(TypeError):
            classify_satisfaction(bad)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        classify_satisfaction("x", prior_output=3)  # type: ignore[arg-type]
