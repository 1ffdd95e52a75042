"""Rows of text with what is in them: our templates, presidio's templates, disguises, and texts with nothing to find."""

from __future__ import annotations

import importlib.util
import json
import random
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from faker import Faker

import ids
import secrets_made
from templates import ID_WORDS, TEMPLATES

PHONE_LOCALES = [
    "en_US",
    "en_GB",
    "en_CA",
    "en_AU",
    "en_IN",
    "de_DE",
    "de_AT",
    "de_CH",
    "fr_FR",
    "es_ES",
    "es_MX",
    "it_IT",
    "nl_NL",
    "pl_PL",
    "pt_BR",
    "pt_PT",
    "ru_RU",
    "tr_TR",
    "zh_CN",
    "ja_JP",
    "ko_KR",
    "sv_SE",
    "da_DK",
    "no_NO",
    "fi_FI",
    "cs_CZ",
]
IBAN_LOCALES = [
    "de_DE",
    "en_GB",
    "fr_FR",
    "es_ES",
    "it_IT",
    "nl_NL",
    "pl_PL",
    "pt_PT",
    "sv_SE",
    "da_DK",
    "no_NO",
    "fi_FI",
    "cs_CZ",
    "de_AT",
    "de_CH",
    "tr_TR",
    "fr_BE",
    "el_GR",
]
NAME_LOCALES = ["en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL", "pt_BR", "sv_SE", "tr_TR"]
ADDRESS_LOCALES = ["en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL"]

# What a placeholder of presidio's templates is for us; those not named are filled and not expected to go.
PRESIDIO = {
    "credit_card_number": "CARD",
    "email": "EMAIL",
    "iban": "IBAN",
    "ip_address": "IP",
    "phone_number": "PHONE",
    "ssn": "SSN",
    "date_of_birth": "BIRTH_DATE",
    "person": "NAME",
    "name": "NAME",
    "name_male": "NAME",
    "name_female": "NAME",
    "first_name": "NAME",
    "first_name_male": "NAME",
    "first_name_female": "NAME",
    "first_name_nonbinary": "NAME",
    "last_name": "NAME",
    "last_name_male": "NAME",
    "last_name_female": "NAME",
    "address": "ADDRESS",
}


@dataclass
class Row:
    """A text and the spans in it, in bytes: (start, end, entity, detail)."""

    source: str
    text: str
    spans: list[tuple[int, int, str, str]] = field(default_factory=list)


@cache
def faker(locale: str) -> Faker:
    return Faker(locale)


def filled(source: str, template: str, value: str, entity: str, detail: str = "") -> Row:
    before, after = template.split("{}", 1)
    before, after = before.replace("{{", "{").replace("}}", "}"), after.replace("{{", "{").replace("}}", "}")
    if entity == "IP" and before.endswith("//") and ":" in value:
        before, after = before + "[", "]" + after
    start = len(before.encode())
    span = (start, start + len(value.encode()), entity, detail)
    return Row(source, before + value + after, [span])


def card(rng: random.Random) -> str:
    kind = rng.choice(["visa16", "visa16", "mastercard", "amex", "discover", "jcb16", "diners"])
    number = faker("en_US").credit_card_number(kind)
    if len(number) == 16:
        fours = [number[at : at + 4] for at in range(0, 16, 4)]
        return rng.choice([number, " ".join(fours), "-".join(fours)])
    groups = [number[:4], number[4:10], number[10:]]
    return rng.choice([number, " ".join(groups), "-".join(groups)])


def iban(rng: random.Random) -> tuple[str, str]:
    locale = rng.choice(IBAN_LOCALES)
    number = faker(locale).iban()
    fours = " ".join(number[at : at + 4] for at in range(0, len(number), 4))
    return rng.choice([number, fours, fours, number.lower()]), locale


def phone(rng: random.Random) -> tuple[str, str]:
    locale = rng.choice(PHONE_LOCALES)
    return faker(locale).phone_number(), locale


def address(rng: random.Random) -> tuple[str, str]:
    locale = rng.choice(ADDRESS_LOCALES)
    text = faker(locale).address()
    return rng.choice([text, text.replace("\n", ", ")]), locale


def birth(rng: random.Random) -> str:
    date = faker("en_US").date_of_birth(minimum_age=18, maximum_age=90)
    form = rng.choice(
        ["%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d", "%d.%m.%Y", "%d %B %Y", "%B %d, %Y", "%d %b %Y", "%m/%d/%y", "%d-%m-%Y"]
    )
    return date.strftime(form)


def email(rng: random.Random) -> str:
    made = faker(rng.choice(NAME_LOCALES)).ascii_email()
    local, domain = made.split("@")
    kind = rng.randrange(6)
    if kind == 0:
        return f"{local}+{rng.choice(['news', 'shop', 'test1'])}@{domain}"
    if kind == 1:
        return f"{local}@mail.{domain}"
    if kind == 2:
        return made.title()
    return made


def ssn(rng: random.Random, template: str) -> str:
    number = faker("en_US").ssn()
    bare = "ssn" in template.lower() or "social" in template.lower()
    return rng.choice([number, number, number.replace("-", " "), number.replace("-", "")]) if bare else number


def login(rng: random.Random) -> str:
    user = rng.choice(["admin", "app_user", "root", "postgres", "deploy", faker("en_US").user_name()])
    word = re.sub(r"[@/:\s#?%]", "x", secrets_made.password(rng))
    return f"{user}:{word}"


def ip(rng: random.Random) -> str:
    if rng.random() < 0.6:
        return faker("en_US").ipv4()
    number = faker("en_US").ipv6()
    return rng.choice([number, number.upper(), "2001:db8:" + ":".join(number.split(":")[:2]) + "::1"])


def mac(rng: random.Random) -> str:
    number = faker("en_US").mac_address()
    plain = number.replace(":", "")
    return rng.choice([number, number.upper(), number.replace(":", "-"), f"{plain[:4]}.{plain[4:8]}.{plain[8:]}"])


def national(rng: random.Random, country: str) -> str:
    made = {
        "Spain": lambda: rng.choice([faker("es_ES").nif(), faker("es_ES").nie()]),
        "Italy": lambda: rng.choice([str.upper, str.lower])(faker("it_IT").ssn()),
        "France": lambda: ids.nir(rng),
        "Germany": lambda: ids.steuer_id(rng),
        "Netherlands": lambda: faker("nl_NL").ssn(),
        "Poland": lambda: faker("pl_PL").pesel(),
        "Brazil": lambda: rng.choice([faker("pt_BR").cpf(), re.sub(r"\D", "", faker("pt_BR").cpf())]),
        "Brazil (firm)": lambda: rng.choice([faker("pt_BR").cnpj(), re.sub(r"\D", "", faker("pt_BR").cnpj())]),
        "Britain (NI)": lambda: ids.nino(rng),
        "Britain (NHS)": lambda: ids.nhs(rng),
        "India (Aadhaar)": lambda: ids.aadhaar(rng),
        "India (PAN)": lambda: ids.pan(rng),
        "China": lambda: rng.choice([ids.chinese(rng), faker("zh_CN").ssn()]),
        "Korea": lambda: ids.korean(rng),
        "Sweden": lambda: rng.choice([faker("sv_SE").ssn(long=True), faker("sv_SE").ssn(long=False)]),
        "Turkey": lambda: faker("tr_TR").ssn(),
        "Belgium": lambda: ids.belgian(rng),
        "Finland": lambda: ids.hetu(rng),
        "Norway": lambda: re.sub(r"^(\d{6})", rng.choice([r"\1", r"\1 "]), faker("no_NO").ssn()),
        "Canada": lambda: ids.sin(rng),
        "Singapore": lambda: ids.nric(rng),
        "Chile": lambda: ids.rut(rng),
        "Switzerland": lambda: ids.swiss(rng),
        "Croatia": lambda: faker("hr_HR").ssn(),
        "Romania": lambda: faker("ro_RO").ssn(),
        "Portugal": lambda: ids.nif(rng),
        "Denmark": lambda: ids.cpr(rng),
        "Czechia": lambda: faker("cs_CZ").birth_number(),
    }
    return made[country]()


def value_of(rng: random.Random, entity: str, template: str) -> tuple[str, str]:
    if entity == "API_KEY":
        name = rng.choice(sorted(secrets_made.KEYS))
        return secrets_made.KEYS[name](rng), name
    if entity in {"PHONE", "IBAN", "ADDRESS"}:
        return {"PHONE": phone, "IBAN": iban, "ADDRESS": address}[entity](rng)
    if entity == "NAME":
        locale = rng.choice(NAME_LOCALES)
        made = faker(locale)
        return rng.choice([f"{made.first_name()} {made.last_name()}", made.first_name()]), locale
    if entity == "SSN":
        return ssn(rng, template), ""
    simple = {
        "EMAIL": email,
        "CARD": card,
        "IP": ip,
        "MAC": mac,
        "LOGIN": login,
        "SECRET": secrets_made.password,
        "JWT": secrets_made.jwt,
        "PRIVATE_KEY": secrets_made.private_key,
        "CRYPTO": ids.wallet,
        "BIRTH_DATE": birth,
        "BEARER": lambda rng: ids.drawn(rng, rng.choice([32, 40, 64])),
    }
    return simple[entity](rng), ""


def own(rng: random.Random, count: int) -> Iterator[Row]:
    """`count` rows of each entity from our templates."""
    for entity, templates in TEMPLATES.items():
        for _ in range(count):
            template = rng.choice(templates)
            value, detail = value_of(rng, entity, template)
            if "&" in template.split("{}")[-1][:1]:
                value = re.sub(r"[&#]", "x", value)
            yield filled("own", template, value, "SECRET" if entity == "BEARER" else entity, detail)
    for country, templates in ID_WORDS.items():
        for _ in range(max(1, count // 10)):
            yield filled("own", rng.choice(templates), national(rng, country), "NATIONAL_ID", country)


def wide(text: str) -> str:
    return "".join(chr(ord(c) - 0x30 + 0xFF10) if c.isascii() and c.isdigit() else c for c in text)


DISGUISES = {
    "full-width digits": wide,
    "Arabic digits": lambda text: "".join(
        chr(ord(c) - 0x30 + 0x660) if c.isascii() and c.isdigit() else c for c in text
    ),
    "zero-width spaces": lambda text: "\u200b".join(text),
    "no-break spaces": lambda text: text.replace(" ", "\u00a0"),
    "typographic hyphens": lambda text: text.replace("-", "\u2011"),
}


def disguised(rng: random.Random, count: int) -> Iterator[Row]:
    """Things of digits, written so that a naive pattern does not see them."""
    for entity in ["EMAIL", "PHONE", "CARD", "IBAN", "SSN", "IP"]:
        for name, change in DISGUISES.items():
            for _ in range(max(1, count // 10)):
                template = rng.choice(TEMPLATES[entity])
                value, _ = value_of(rng, entity, template)
                yield filled("disguised", template, change(value), entity, name)


def presidio(rng: random.Random, count: int) -> Iterator[Row]:
    """Sentences of the package presidio-evaluator (MIT), read where pip put it."""
    spec = importlib.util.find_spec("presidio_evaluator")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(
            "presidio-evaluator is missing: pip install --no-deps presidio-evaluator (see requirements.txt)"
        )
    folder = Path(next(iter(spec.submodule_search_locations)))
    lines = (folder / "data_generator/raw_data/templates.txt").read_text("utf-8", errors="replace").splitlines()
    for _ in range(count * 8):
        row = Row("presidio", "")
        for part in re.split(r"(\{\{\w+\}\})", rng.choice(lines).replace("\\n", "\n")):
            name = part[2:-2] if part.startswith("{{") else ""
            if not name:
                row.text += part
                continue
            value = presidio_value(rng, name)
            start = len(row.text.encode())
            row.text += value
            if name in PRESIDIO:
                row.spans.append((start, len(row.text.encode()), PRESIDIO[name], "presidio"))
        if row.text.strip():
            yield row


def presidio_value(rng: random.Random, name: str) -> str:
    made = faker("en_US")
    if name in {"iban", "credit_card_number", "phone_number"}:
        return {
            "iban": lambda: iban(rng)[0],
            "credit_card_number": lambda: card(rng),
            "phone_number": lambda: phone(rng)[0],
        }[name]()
    if name == "ip_address":
        return ip(rng)
    if name in {"nationality", "nation_woman", "nation_plural"}:
        return rng.choice(["Dutch", "Polish", "Brazilian", "Kenyan", "Japanese", "Greek"])
    if name == "date_of_birth":
        return birth(rng)
    named = {"person": "name", "first_name_nonbinary": "first_name", "organization": "company", "age": "random_int"}
    named |= {"zipcode": "postcode", "us_driver_license": "bothify"}
    return str(getattr(made, named.get(name, name))()).replace("\n", ", ")


def numbers(rng: random.Random, count: int) -> Iterator[Row]:
    """Plain numbers of many kinds, with nothing personal in them."""

    def some(kind: str) -> str:
        d = lambda n: ids.digits(rng, n)  # noqa: E731
        stamp = rng.randint(1_400_000_000, 1_900_000_000)
        return {
            "order id": lambda: rng.choice(
                [
                    f"order {d(rng.randint(6, 19))}",
                    f"Order #{d(3)}-{d(7)}-{d(7)}",
                    f"ORD-{d(10)} is late",
                    f"ticket {d(9)}",
                ]
            ),
            "bare number": lambda: rng.choice([d(rng.randint(7, 20)), f"the value is {d(rng.randint(7, 18))} here"]),
            "timestamp": lambda: rng.choice(
                [
                    str(stamp),
                    f"ts={stamp}{d(3)}",
                    f"at {stamp}.{d(6)}",
                    f"20{d(2)[0]}4-0{rng.randint(1, 9)}-1{d(1)}T1{d(1)}:3{d(1)}:0{d(1)}Z",
                    f"2024-0{rng.randint(1, 9)}-1{d(1)} 12:{rng.randint(10, 59)}:00",
                ]
            ),
            "uuid": lambda: rng.choice(["id {}", "{}", "trace={}"]).format(
                uuid.UUID(int=rng.getrandbits(128), version=4)
            ),
            "git hash": lambda: rng.choice(
                [
                    f"commit {ids.drawn(rng, 40, '0123456789abcdef')}",
                    f"see {ids.drawn(rng, 7, '0123456789abcdef')}",
                    f"sha256:{ids.drawn(rng, 64, '0123456789abcdef')}",
                ]
            ),
            "version": lambda: rng.choice(
                [
                    f"version {rng.randint(0, 20)}.{rng.randint(0, 99)}.{rng.randint(0, 99)}",
                    f"numpy=={rng.randint(1, 2)}.{rng.randint(0, 30)}.{rng.randint(0, 9)}",
                    f"v{rng.randint(1, 9)}.{rng.randint(0, 99)}.{rng.randint(0, 9)}.{rng.randint(0, 9)}",
                    f"Chrome/1{d(2)}.0.{d(4)}.{d(2)}",
                ]
            ),
            "maths": lambda: rng.choice(
                [
                    f"{d(4)} * {d(5)} = {d(9)}",
                    f"({d(2)} + {d(3)}) / {d(2)} - {d(4)}",
                    f"pi = 3.{d(15)}",
                    f"x = [{', '.join(d(3) for _ in range(8))}]",
                    f"{d(1)}.{d(4)}e-{d(2)}",
                    f"{d(3)} {d(3)} {d(3)}",
                    f"1{d(2)},{d(3)},{d(3)} rows",
                    f"{rng.randint(1, 9)}.{d(3)}.{d(3)},{d(2)} €",
                ]
            ),
            "article number": lambda: rng.choice(
                [f"ISBN 978-{d(1)}-{d(4)}-{d(4)}-{d(1)}", f"EAN {d(13)}", f"SKU {d(8)}", f"DOI 10.{d(4)}/{d(7)}"]
            ),
            "coordinates": lambda: rng.choice(
                [
                    f"{rng.uniform(-90, 90):.6f}, {rng.uniform(-180, 180):.6f}",
                    f"rgb({rng.randint(0, 255)}, {rng.randint(0, 255)}, {rng.randint(0, 255)})",
                    f"{d(4)}x{d(4)}",
                    f"({d(3)}, {d(3)}) -> ({d(3)}, {d(3)})",
                ]
            ),
            "parcel": lambda: rng.choice(
                [
                    f"1Z{ids.drawn(rng, 16, '0123456789ABCDEFGH')}",
                    f"tracking {d(12)}",
                    f"parcel {d(20)}",
                    f"{ids.drawn(rng, 2, 'ABCDEFGH')}{d(9)}DE",
                ]
            ),
            "table of numbers": lambda: "\n".join(
                "\t".join(str(round(rng.uniform(0, 10**5), rng.randint(0, 4))) for _ in range(4)) for _ in range(4)
            ),
        }[kind]()

    for kind in [
        "order id",
        "bare number",
        "timestamp",
        "uuid",
        "git hash",
        "version",
        "maths",
        "article number",
        "coordinates",
        "parcel",
        "table of numbers",
    ]:
        for _ in range(count):
            yield Row(f"numbers: {kind}", some(kind))


def rows(seed: int, count: int) -> list[Row]:
    rng = random.Random(seed)
    Faker.seed(seed)
    return [*own(rng, count), *presidio(rng, count), *disguised(rng, count), *numbers(rng, count)]


def as_json(row: Row) -> str:
    return json.dumps({"text": row.text}, ensure_ascii=False)
