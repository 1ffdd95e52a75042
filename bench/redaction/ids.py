"""Numbers that Faker does not make, each from its issuer's description, and forms in which people write numbers."""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Callable

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(string.digits) for _ in range(count))


def drawn(rng: random.Random, count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(rng.choice(alphabet) for _ in range(count))


def until(make: Callable[[], str], right: Callable[[str], bool]) -> str:
    """Draw until the checksum is right: no check digit is computed the way the code under test does."""
    while True:
        one = make()
        if right(one):
            return one


def luhn(number: str) -> bool:
    total = 0
    for at, digit in enumerate(map(int, reversed(number))):
        total += sum(divmod(digit * 2, 10)) if at % 2 else digit
    return total % 10 == 0


def day(rng: random.Random) -> tuple[int, int, int]:
    return rng.randint(1940, 2005), rng.randint(1, 12), rng.randint(1, 28)


def weighed(number: str, weights: list[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(number, weights, strict=False))


def nhs(rng: random.Random) -> str:
    number = until(
        lambda: digits(rng, 10), lambda n: weighed(n, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]) % 11 == 0 and n[0] != "0"
    )
    return rng.choice([number, f"{number[:3]} {number[3:6]} {number[6:]}"])


def steuer_id(rng: random.Random) -> str:
    def right(number: str) -> bool:
        product = 10
        for digit in map(int, number[:10]):
            total = (digit + product) % 10 or 10
            product = total * 2 % 11
        check = 11 - product
        return (0 if check == 10 else check) == int(number[10])

    def make() -> str:
        order = rng.sample(string.digits, 9)
        order.append(rng.choice(order))
        rng.shuffle(order)
        return "".join(order) + rng.choice(string.digits)

    number = until(make, lambda n: n[0] != "0" and right(n))
    return rng.choice([number, f"{number[:2]} {number[2:5]} {number[5:8]} {number[8:]}"])


def aadhaar(rng: random.Random) -> str:
    inverse = [0, 4, 3, 2, 1, 5, 6, 7, 8, 9]
    shift = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]

    def times(a: int, b: int) -> int:
        if a < 5:
            return (a + b) % 5 if b < 5 else 5 + (a + b) % 5
        return 5 + (a - b) % 5 if b < 5 else (a - b) % 5

    body = rng.choice("23456789") + digits(rng, 10)
    check = 0
    for at, digit in enumerate(reversed(body), 1):
        value = int(digit)
        for _ in range(at % 8):
            value = shift[value]
        check = times(check, value)
    number = body + str(inverse[check])
    return rng.choice([number, f"{number[:4]} {number[4:8]} {number[8:]}"])


def nino(rng: random.Random) -> str:
    first = rng.choice("ABCEGHJKLMNOPRSTWXYZ") + rng.choice("ABCEGHJKLMNPRSTWXYZ")
    while first in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}:
        first = rng.choice("ABCEGHJKLMNOPRSTWXYZ") + rng.choice("ABCEGHJKLMNPRSTWXYZ")
    number = digits(rng, 6)
    last = rng.choice("ABCD")
    return rng.choice([first + number + last, f"{first} {number[:2]} {number[2:4]} {number[4:]} {last}"])


def nir(rng: random.Random) -> str:
    year, month, _ = day(rng)
    body = f"{rng.choice('12')}{year % 100:02}{month:02}{rng.randint(1, 95):02}{digits(rng, 6)}"
    key = f"{97 - int(body) % 97:02}"
    return rng.choice(
        [
            body + key,
            f"{body} {key}",
            f"{body[0]} {body[1:3]} {body[3:5]} {body[5:7]} {body[7:10]} {body[10:]} {key}",
        ]
    )


def belgian(rng: random.Random) -> str:
    year, month, date = day(rng)
    body = f"{year % 100:02}{month:02}{date:02}{rng.randint(1, 997):03}"
    key = f"{97 - int(('2' if year >= 2000 else '') + body) % 97:02}"
    return rng.choice([body + key, f"{body[:2]}.{body[2:4]}.{body[4:6]}-{body[6:]}.{key}"])


def hetu(rng: random.Random) -> str:
    year, month, date = day(rng)
    serial = rng.randint(2, 899)
    value = int(f"{date:02}{month:02}{year % 100:02}{serial:03}")
    check = "0123456789ABCDEFHJKLMNPRSTUVWXY"[value % 31]
    return f"{date:02}{month:02}{year % 100:02}{'A' if year >= 2000 else '-'}{serial:03}{check}"


def chinese(rng: random.Random) -> str:
    year, month, date = day(rng)
    body = f"{rng.choice(['110105', '310104', '440305', '510107'])}{year}{month:02}{date:02}{digits(rng, 3)}"
    total = sum(int(digit) * pow(2, 17 - at, 11) for at, digit in enumerate(body))
    check = (12 - total) % 11
    return body + ("X" if check == 10 else str(check))


def korean(rng: random.Random) -> str:
    year, month, date = day(rng)
    sex = rng.choice("12" if year < 2000 else "34")
    return f"{year % 100:02}{month:02}{date:02}-{sex}{digits(rng, 6)}"


def sin(rng: random.Random) -> str:
    number = until(lambda: rng.choice("1245679") + digits(rng, 8), luhn)
    return rng.choice([number, f"{number[:3]} {number[3:6]} {number[6:]}", f"{number[:3]}-{number[3:6]}-{number[6:]}"])


def nric(rng: random.Random) -> str:
    letter, number = rng.choice("STFG"), digits(rng, 7)
    total = weighed(number, [2, 7, 6, 5, 4, 3, 2]) + (4 if letter in "TG" else 0)
    return letter + number + ("JZIHGFEDCBA" if letter in "ST" else "XWUTRQPNMLK")[total % 11]


def pan(rng: random.Random) -> str:
    letters = string.ascii_uppercase
    return drawn(rng, 3, letters) + "P" + drawn(rng, 1, letters) + digits(rng, 4) + drawn(rng, 1, letters)


def rut(rng: random.Random) -> str:
    number = str(rng.randint(3_000_000, 25_000_000))
    total = sum(int(digit) * (2 + at % 6) for at, digit in enumerate(reversed(number)))
    check = {10: "K", 11: "0"}.get(11 - total % 11, str(11 - total % 11))
    dotted = f"{int(number):,}".replace(",", ".")
    return rng.choice([f"{dotted}-{check}", f"{number}-{check}"])


def swiss(rng: random.Random) -> str:
    number = until(
        lambda: "756" + digits(rng, 10),
        lambda n: sum(int(d) * (3 if at % 2 else 1) for at, d in enumerate(n)) % 10 == 0,
    )
    return f"{number[:3]}.{number[3:7]}.{number[7:11]}.{number[11:]}"


def nif(rng: random.Random) -> str:
    def right(number: str) -> bool:
        rest = weighed(number, [9, 8, 7, 6, 5, 4, 3, 2]) % 11
        return (0 if rest in {0, 1} else 11 - rest) == int(number[8])

    number = until(lambda: rng.choice("123") + digits(rng, 8), right)
    return rng.choice([number, f"{number[:3]} {number[3:6]} {number[6:]}"])


def cpr(rng: random.Random) -> str:
    year, month, date = day(rng)
    return f"{date:02}{month:02}{year % 100:02}{rng.choice(['-', '-', ''])}{digits(rng, 4)}"


def base58check(payload: bytes) -> str:
    data = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, out = int.from_bytes(data), ""
    while number:
        number, rest = divmod(number, 58)
        out = BASE58[rest] + out
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + out


def bech32(rng: random.Random) -> str:
    version = rng.choice([0, 1])
    data = [version] + [rng.randrange(32) for _ in range(32 if version == 0 else 52)]
    prefix = "bc"

    def polymod(values: list[int]) -> int:
        check = 1
        for value in values:
            top = check >> 25
            check = (check & 0x1FFFFFF) << 5 ^ value
            for bit, part in enumerate([0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3]):
                check ^= part if top >> bit & 1 else 0
        return check

    head = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    final = polymod(head + data + [0] * 6) ^ (1 if version == 0 else 0x2BC830A3)
    data += [final >> 5 * (5 - at) & 31 for at in range(6)]
    return prefix + "1" + "".join(BECH32[value] for value in data)


def wallet(rng: random.Random) -> str:
    kind = rng.randrange(4)
    if kind == 0:
        return bech32(rng)
    if kind == 1:
        return "0x" + drawn(rng, 40, "0123456789abcdef")
    return base58check(bytes([rng.choice([0, 5])]) + rng.randbytes(20))
