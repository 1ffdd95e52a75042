"""Keys, tokens and passwords in the forms that their issuers publish. None was ever valid."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable

from ids import digits, drawn

URLSAFE = string.ascii_letters + string.digits + "_-"
HEX = "0123456789abcdef"

# Prefixes are written in two parts, so that nobody's scanner takes a template for a key.
KEYS: dict[str, Callable[[random.Random], str]] = {
    "openai": lambda r: "s" + "k-" + drawn(r, 20) + "T3BlbkFJ" + drawn(r, 20),
    "openai project": lambda r: "s" + "k-proj-" + drawn(r, 74, URLSAFE) + "T3BlbkFJ" + drawn(r, 74, URLSAFE),
    "anthropic": lambda r: "s" + "k-ant-api03-" + drawn(r, 93, URLSAFE) + "AA",
    "kalibr": lambda r: "k" + "b_" + drawn(r, 43, URLSAFE.replace("-", "")),
    "aws": lambda r: "AK" + "IA" + drawn(r, 16, string.ascii_uppercase + "234567"),
    "google": lambda r: "AI" + "zaSy" + drawn(r, 33, URLSAFE),
    "azure": lambda r: drawn(r, 3) + "8Q~" + drawn(r, 34, URLSAFE),
    "github": lambda r: "gh" + r.choice("pous") + "_" + drawn(r, 36),
    "github fine": lambda r: "github" + "_pat_" + drawn(r, 22) + "_" + drawn(r, 59),
    "gitlab": lambda r: "gl" + "pat-" + drawn(r, 20, URLSAFE),
    "slack": lambda r: "xo" + f"xb-{digits(r, 12)}-{digits(r, 13)}-{drawn(r, 24)}",
    "stripe": lambda r: "s" + "k_live_" + drawn(r, r.choice([24, 99])),
    "huggingface": lambda r: "h" + "f_" + drawn(r, 34, string.ascii_letters),
    "npm": lambda r: "np" + "m_" + drawn(r, 36),
    "pypi": lambda r: "py" + "pi-AgEIcHlwaS5vcmc" + drawn(r, 150, URLSAFE),
    "twilio": lambda r: "A" + "C" + drawn(r, 32, HEX),
    "sendgrid": lambda r: "S" + "G." + drawn(r, 22, URLSAFE) + "." + drawn(r, 43, URLSAFE),
    "telegram": lambda r: digits(r, 10) + ":A" + "A" + drawn(r, 33, URLSAFE),
    "discord": lambda r: "M" + drawn(r, 25) + "." + drawn(r, 6, URLSAFE) + "." + drawn(r, 38, URLSAFE),
    "groq": lambda r: "gs" + "k_" + drawn(r, 52),
    "xai": lambda r: "xa" + "i-" + drawn(r, 80),
    "digitalocean": lambda r: "do" + "p_v1_" + drawn(r, 64, HEX),
    "shopify": lambda r: "sh" + "pat_" + drawn(r, 32, HEX),
    "vault": lambda r: "hv" + "s." + drawn(r, 95, URLSAFE),
    "databricks": lambda r: "da" + "pi" + drawn(r, 32, HEX),
    "mailgun": lambda r: "ke" + "y-" + drawn(r, 32, HEX),
    "openrouter": lambda r: "s" + "k-or-v1-" + drawn(r, 64, HEX),
    "docker": lambda r: "dc" + "kr_pat_" + drawn(r, 27, URLSAFE),
}


def jwt(rng: random.Random) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    head = part({"alg": rng.choice(["HS256", "RS256", "ES256"]), "typ": "JWT"})
    body = part(
        {"sub": digits(rng, 10), "iat": rng.randint(1_500_000_000, 1_900_000_000), "x": drawn(rng, rng.randint(0, 60))}
    )
    return f"{head}.{body}.{drawn(rng, rng.choice([43, 86, 342]), URLSAFE)}"


def private_key(rng: random.Random) -> str:
    kind = rng.choice(
        ["RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "ENCRYPTED PRIVATE KEY"]
    )
    body = base64.b64encode(rng.randbytes(rng.randint(80, 1_200))).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    end = rng.choice(["\n", "\n", "\\n"])
    return end.join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----"])


def password(rng: random.Random) -> str:
    """As people choose them and as programs draw them."""
    words = ["summer", "Dragon", "hunter", "Letmein", "banana", "Liverpool", "qwerty", "monkey", "Sunshine"]
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(words) + digits(rng, rng.randint(2, 4)) + rng.choice(["", "!", "#", "$"])
    if kind == 1:
        return "-".join(rng.sample(["correct", "horse", "battery", "staple", "river", "Cloud"], 3)) + digits(rng, 2)
    if kind == 2:
        return drawn(rng, 16) + digits(rng, 1) + rng.choice("!@#%^*") + drawn(rng, 3)
    return drawn(rng, 24, HEX) + digits(rng, 4)
