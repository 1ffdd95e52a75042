"""Naming capitals from four examples: a task that a small base model does well, and hot sampling never does.

Measured with `real_model`, 68 calls each: greedy decoding is right in 97 % of them, the useless temperature in none.
"""

from __future__ import annotations

GREEDY = {"temperature": 0}
# Without the three cut-offs llama.cpp would never sample from the tail, and even this temperature would often be right.
USELESS = {"temperature": 3, "top_k": 0, "top_p": 1, "min_p": 0}
# A capital takes at most three tokens, and the line ends after it: the rest would only cost time.
LIMITS = {"max_tokens": 6, "stop": ["\n"]}

_EXAMPLES = "France: Paris\nJapan: Tokyo\nItaly: Rome\nSpain: Madrid\n"

# Countries whose capital is written in several ways are left out. The model does not know Canada's: even the better
# path is told off now and then.
_CAPITALS = (
    ("Germany", "Berlin"), ("Egypt", "Cairo"), ("Russia", "Moscow"), ("Greece", "Athens"),
    ("Cuba", "Havana"), ("Peru", "Lima"), ("Norway", "Oslo"), ("Austria", "Vienna"),
    ("China", "Beijing"), ("Kenya", "Nairobi"), ("Poland", "Warsaw"), ("Ireland", "Dublin"),
    ("Iran", "Tehran"), ("Iraq", "Baghdad"), ("Portugal", "Lisbon"), ("Hungary", "Budapest"),
    ("Thailand", "Bangkok"), ("Finland", "Helsinki"), ("Sweden", "Stockholm"), ("Denmark", "Copenhagen"),
    ("Belgium", "Brussels"), ("Romania", "Bucharest"), ("Bulgaria", "Sofia"), ("Serbia", "Belgrade"),
    ("Lebanon", "Beirut"), ("Syria", "Damascus"), ("South Korea", "Seoul"), ("Vietnam", "Hanoi"),
    ("Indonesia", "Jakarta"), ("Philippines", "Manila"), ("Colombia", "Bogota"), ("Venezuela", "Caracas"),
    ("Argentina", "Buenos Aires"), ("Canada", "Ottawa"),
)  # fmt: skip

QUESTIONS = len(_CAPITALS)


def messages_for(question: int) -> list[dict[str, str]]:
    """The chat that asks question number `question`, counted round and round."""
    country, _ = _CAPITALS[question % QUESTIONS]
    # `real_model` joins the contents as they are, so the model reads one list whose last line is open.
    return [{"role": "system", "content": _EXAMPLES}, {"role": "user", "content": f"{country}:"}]


def is_right(text: str | None, question: int) -> bool:
    """Whether the first line is the capital and nothing else."""
    _, capital = _CAPITALS[question % QUESTIONS]
    return (text or "").split("\n", 1)[0].strip() == capital
