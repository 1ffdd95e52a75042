"""The real `kalibr serve`, started as a process, for tests that talk to it over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


def program() -> str:
    """The program under test: KALIBR_PROGRAM, set by scripts/test."""
    path = os.environ.get("KALIBR_PROGRAM")
    if not path:
        pytest.skip("KALIBR_PROGRAM does not name the kalibr program; scripts/test sets it")
    return path


@contextmanager
def gateway(home: Path, config: str, env: dict[str, str] | None = None) -> Iterator[str]:
    """Runs `kalibr serve` on a free port with this kalibr.toml; gives its address, and ends it by its own process."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "kalibr.toml").write_text(config)
    process = subprocess.Popen(
        [program(), "serve", "--listen", "127.0.0.1:0"],
        env={"PATH": os.environ.get("PATH", ""), "KALIBR_HOME": str(home), **(env or {})},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http://" in line, f"the server said {line!r}"
        yield line.split("http://")[1].split()[0]
    finally:
        process.terminate()
        process.wait(timeout=40)
        if process.stdout is not None:
            process.stdout.close()


class Reply:
    """What came back over HTTP."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        self.text = text

    def json(self) -> Any:
        return json.loads(self.text)


def call(address: str, method: str, path: str, body: object = None) -> Reply:
    """One HTTP request with a JSON body, past every proxy of the environment."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://{address}{path}", data, {"content-type": "application/json"}, method=method
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=20) as reply:
            return Reply(reply.status, reply.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.read().decode())
