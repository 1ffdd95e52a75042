"""A data folder of its own for each test, with a simulated provider."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LAB = """
[providers.lab]
kind = "simulated"
models.good = { quality = 1.0 }
models.poor = { quality = 0.0 }
models.broken = { failure_rate = 1.0 }
"""

HELLO = [{"role": "user", "content": "Hello"}]


class Home:
    """A data folder, and what tests ask of it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add_config(self, text: str) -> None:
        with (self.path / "kalibr.toml").open("a") as file:
            file.write(text)

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Reads the ledger, in another process: SQLite's locks belong to a process, and a second SQLite within one
        (Python's own beside Kalibr's) would take away the first one's by closing the file."""
        script = (
            "import json, sqlite3, sys\n"
            "ledger, sql, values = json.loads(sys.argv[1])\n"
            "print(json.dumps(sqlite3.connect(ledger, timeout=30).execute(sql, values).fetchall()))"
        )
        asked = json.dumps([str(self.path / "ledger.db"), sql, values])
        done = subprocess.run([sys.executable, "-c", script, asked], check=True, capture_output=True, text=True)
        return [tuple(row) for row in json.loads(done.stdout)]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Another process holds the store's write lock for the length of a `with` block."""
        holder = self.start(
            f"""
            import sqlite3, sys
            ledger = sqlite3.connect({str(self.path / "ledger.db")!r}, isolation_level=None, timeout=30)
            ledger.execute("BEGIN IMMEDIATE")
            print("held", flush=True)
            sys.stdin.read()
            ledger.execute("ROLLBACK")
            """
        )
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.communicate()

    def signals(self, like: str = "%") -> list[str]:
        return [row[0] for row in self.query("SELECT id FROM signals WHERE id LIKE ? ORDER BY id", like)]

    def env(self) -> dict[str, str]:
        return {**os.environ, "KALIBR_HOME": str(self.path)}

    def run(self, script: str, *, check: bool = True, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Runs a script in a process of its own."""
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            env=self.env(),
            check=check,
            timeout=timeout,
            capture_output=True,
            text=True,
        )

    def start(self, script: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)],
            env=self.env(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(autouse=True)
def no_run_of_another_test() -> Iterator[None]:
    from kalibr import runs

    with runs.isolated():
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    import kalibr
    from kalibr import _log

    # What another test has opened is of another data folder.
    assert kalibr.close()
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "kalibr.toml").write_text(LAB)
    monkeypatch.setenv("KALIBR_HOME", str(folder))
    monkeypatch.delenv("KALIBR_CONFIG", raising=False)
    _log._said.clear()
    yield Home(folder)
    assert kalibr.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Where everything is required, as in continuous integration, a test that could not run has failed."""
    report = yield
    if report.skipped and os.environ.get("KALIBR_REQUIRE_ALL"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and KALIBR_REQUIRE_ALL is set: {report.longrepr}"
    return report
