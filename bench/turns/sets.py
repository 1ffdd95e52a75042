"""The messages to learn from and to measure with, and what the classifier sees of them.

Public sets are read from the data folder that the caller names; authored phrases lie in `phrases/` beside this file.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

LABELS = ("acceptance", "rejection", "continuation")
DIMENSIONS = ("length", "tone", "format", "content", "factuality", "completeness")
SLOTS = 1 << 18
NUMBERS = 52
HERE = Path(__file__).parent
PHRASES = HERE / "phrases"
LANGUAGES = ("en", "de", "fr", "es", "pt", "it", "nl", "pl", "ru", "tr", "zh", "ja", "ko", "ar", "hi")
"""English, and the fourteen others that clear praise and complaint must be understood in."""

Row = dict[str, Any]


@dataclass
class Set:
    """Rows with their features: hashed pieces, numbers, label (an index into LABELS), and the group of each."""

    name: str
    rows: list[Row]
    pieces: sp.csr_matrix = field(repr=False)
    numbers: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    groups: np.ndarray = field(repr=False)


def read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def as_input(rows: list[Row]) -> bytes:
    keys = ("user_message", "prior_output", "prior_user_prompt")
    return "".join(json.dumps({key: row.get(key) for key in keys}) + "\n" for row in rows).encode()


def featurise(program: Path, name: str, rows: list[Row]) -> Set:
    """Asks the Rust program, which is the classifier itself, for the features."""
    out = subprocess.run([program, "features"], input=as_input(rows), stdout=subprocess.PIPE, check=True).stdout
    piece = np.dtype([("slot", "<u4"), ("value", "<f4")])
    at, counts, pieces, numbers = 0, [], [], []
    for _ in rows:
        count = int.from_bytes(out[at : at + 4], "little")
        pieces.append(np.frombuffer(out, piece, count, at + 4))
        at += 4 + 8 * count
        numbers.append(np.frombuffer(out, "<f4", NUMBERS, at))
        at += 4 * NUMBERS
        counts.append(count)
    if at != len(out):
        raise SystemExit("the program and sets.py do not agree on the features: build it again")
    every = np.concatenate(pieces)
    matrix = sp.csr_matrix(
        (every["value"], every["slot"].astype(np.int64), np.concatenate([[0], np.cumsum(counts)])),
        shape=(len(rows), SLOTS),
    )
    matrix.sum_duplicates()
    groups = np.array([str(row.get("group", index)) for index, row in enumerate(rows)])
    labels = np.array([LABELS.index(row["label"]) for row in rows])
    return Set(name, rows, matrix, np.array(numbers), labels, groups)


def phrases(language: str) -> list[Row]:
    """The authored phrases of a language. `group` names the phrase that others are made of."""
    rows = []
    for line in (PHRASES / f"{language}.txt").read_text(encoding="utf-8").splitlines():
        match = re.fullmatch(r"([+\-=])(?:\[(\w+)\])? (.+)", line)
        if match:
            sign, dimension, text = match.groups()
            label = LABELS["+-=".index(sign)]
            rows.append({"user_message": text, "label": label, "dimension": dimension, "group": f"{language}:{text}"})
    return rows


def varied(rows: list[Row], seed: int) -> list[Row]:
    """The rows, and each again as others would type it: with more or fewer marks, with a slip, without apostrophes,
    after a filler word, or beside another phrase that says the same."""
    draw = random.Random(seed)
    alike: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        alike.setdefault((_language(row), row["label"]), []).append(row["user_message"])
    made = []
    for row in rows:
        text = row["user_message"]
        other = draw.choice(alike[_language(row), row["label"]])
        twice = draw.choice([f"{text}, {other}", f"{text}. {other}", f"{other} {text}", f"{text}! {other}"])
        changed = draw.choice([_slip(text, draw), _dressed(row, draw)])
        for variant in sorted({text, _marks(text, draw), changed, twice}):
            made.append({**row, "user_message": variant})
    return made


def _language(row: Row) -> str:
    return row["group"].partition(":")[0]


def _marks(text: str, draw: random.Random) -> str:
    bare = text.rstrip(".!。！")
    ends = [bare, bare + ".", bare + "!", bare + "!!", bare.capitalize(), bare.capitalize() + ".", bare.upper(), text]
    return draw.choice(ends)


def _slip(text: str, draw: random.Random) -> str:
    if len(text) < 6 or ord(max(text)) > 0x2E80:
        return text.replace("'", "").replace("\u2019", "")
    at = draw.randrange(1, len(text) - 2)
    swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    dropped = text[:at] + text[at + 1 :]
    doubled = text[:at] + text[at] + text[at:]
    return draw.choice([swapped, dropped, doubled, text.replace("'", "").replace(",", "")])


_BEFORE = {"en": ["hmm, ", "well, ", "sorry, ", "ok ", "hey, ", "honestly ", "bot, ", "so ", "chatgpt, ", "oh ", "um "]}
_AFTER = {
    "acceptance": {"en": [" :)", " 👍", " thanks", ", thank you", " bro", " ❤️", " 😊", " mate"]},
    "rejection": {"en": [" :(", " 👎", " please", " again", " man", ", fix it", " 😡", " 🙄", ", try again"]},
    "continuation": {"en": [" please", " pls", " thanks", ", thanks in advance", " :)", "?"]},
}
_ANYWHERE = {
    "acceptance": [" 👍", " :)", " 😊", "!"],
    "rejection": [" 👎", " :(", " 😡", "!!"],
    "continuation": ["", "…"],
}


def _dressed(row: Row, draw: random.Random) -> str:
    language = _language(row)
    before = draw.choice([""] + _BEFORE.get(language, []))
    after = draw.choice([""] + _AFTER[row["label"]].get(language, _ANYWHERE[row["label"]]))
    return before + row["user_message"] + after


def composed(name: str, count: int, seed: int) -> list[Row]:
    """Follow-ups made of the parts in a file of `phrases/`."""
    draw = random.Random(seed)
    patterns, lists = [], {}
    for line in (PHRASES / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        pattern = re.fullmatch(r"([+\-=])(?:\[(\w+)\])? (.+)", line)
        if pattern:
            patterns.append(pattern.groups())
        elif ": " in line and not line.startswith("#"):
            name, _, choices = line.partition(": ")
            lists[name] = [choice.strip() for choice in choices.split(" | ")]
    made = []
    for sign, dimension, pattern in itertools.islice(itertools.cycle(patterns), count):
        text = pattern
        while "{" in text and (part := re.search(r"\{([a-z0-9]+)\}", text)) and part[1] in lists:
            text = text[: part.start()] + draw.choice(lists[part[1]]) + text[part.end() :]
        text = text.replace("⏎", "\n")
        label = LABELS["+-=".index(sign)]
        made.append({"user_message": text, "label": label, "dimension": dimension, "group": f"{name}:{pattern}"})
    return made
