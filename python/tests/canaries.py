"""Words that can be found again, however they were written down."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

BEGIN = b"KanarienvogelSingt"


def _begins() -> list[bytes]:
    """How a word begins in base64, wherever it lies in the text around it: the whole groups of three bytes."""
    inner = [BEGIN[skip : skip + (len(BEGIN) - skip) // 3 * 3] for skip in range(3)]
    return [base64.b64encode(part) for text in inner for part in (text, text.lower())]


_ANY = re.compile(
    b"|".join(
        [
            b"(?i:%s[0-9]{4})" % BEGIN,
            *(b"(?i:%s)" % begin.hex().encode() for begin in (BEGIN, BEGIN.lower())),
            *(re.escape(begin) for begin in _begins()),
        ]
    )
)
_HEX = re.compile(b"[0-9a-fA-F]{32,}")


class Canaries:
    """Makes words, each for one place, and finds them in bytes: as they are, in lower or upper case, escaped as JSON,
    in base64 at any offset, in hex, and hashed without a key."""

    def __init__(self) -> None:
        self.made: dict[str, str] = {}

    def make(self, place: str, *, plain: bool = False) -> str:
        """A word for this place; `plain` where only letters and digits may be."""
        core = f"{BEGIN.decode()}{len(self.made):04d}{hashlib.md5(place.encode()).hexdigest()[:10]}Zz"
        self.made[place] = core
        return core if plain else _dressed(core)

    def _hashes(self) -> dict[bytes, str]:
        """The first half of every hash of every word, and what it is of."""
        hashes = {}
        for place, core in self.made.items():
            for text in {core, core.lower(), _dressed(core), json.dumps(_dressed(core))}:
                for name in ("sha256", "sha1", "md5", "blake2b"):
                    hashes[hashlib.new(name, text.encode()).digest()[:16]] = f"{place}, as {name}"
        return hashes

    def found_in(self, named: dict[str, bytes], *, binary: bool = False) -> list[str]:
        """What is found where: empty if all is well. In `binary` files hashes are looked for as bytes, too."""
        places = {core.lower().encode(): place for place, core in self.made.items()}
        hashes = self._hashes()
        found = []
        for name, data in named.items():
            for hit in _ANY.finditer(data):
                word = data[hit.start() : hit.start() + len(BEGIN) + 16].lower()
                shown = data[max(0, hit.start() - 60) : hit.end() + 60]
                found.append(f"{places.get(word, 'a canary in another form')!r} in {name}: ...{shown!r}")
            written = (digits[at : at + 32] for digits in _HEX.findall(data) for at in range(len(digits) - 31))
            raw = (bytes.fromhex(digits.decode()) for digits in written)
            found += [f"{hashes[half]!r} in {name}" for half in raw if half in hashes]
            if binary:
                heads = {half[:6]: half for half in hashes}
                for at in range(len(data) - 15):
                    half = heads.get(data[at : at + 6])
                    if half is not None and data[at : at + 16] == half:
                        found.append(f"{hashes[half]!r} in {name}")
        return found


def _dressed(core: str) -> str:
    return f'{core} "é\\ {core}'


def files_of(folder: Path) -> dict[str, bytes]:
    return dict(_files(folder))


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for file in folder.rglob("*"):
        if file.is_file():
            yield str(file.relative_to(folder)), file.read_bytes()


def test_a_canary_is_found_in_every_form() -> None:
    canaries = Canaries()
    word = canaries.make("somewhere")
    core = canaries.made["somewhere"]
    forms = [
        *(word, word.upper(), word.lower(), json.dumps(word), word.encode().hex(), word.encode().hex().upper()),
        *(base64.b64encode(b"x" * skip + word.encode()).decode() for skip in range(4)),
        *(hashlib.sha256(text.encode()).hexdigest() for text in (core, word)),
    ]
    for form in forms:
        assert canaries.found_in({"a file": b"\x00before " + form.encode() + b" after"}), form
    kept = hashlib.sha256(core.encode()).digest()[:16]
    assert canaries.found_in({"a file": b"\x01" + kept + b"\x02"}, binary=True)
    assert not canaries.found_in({"a file": b"Kanarienvogel " + bytes(range(256)) * 9}, binary=True)
