"""The native half. What is meant for use is the layer above it: `kalibr.Router` and `kalibr.feedback`."""

from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any, final

__all__ = [
    "Call",
    "Engine",
    "after_fork_in_child",
    "Signal",
    "check_failure_category",
    "classify",
    "Stream",
    "__version__",
]

__version__: str

_Done = Callable[[Any, BaseException | None], None]

def after_fork_in_child() -> None: ...
def check_failure_category(name: str) -> None: ...
def classify(
    message: str,
    prior_output: str | None = None,
    prior_user_prompt: str | None = None,
    engine: Engine | None = None,
) -> str: ...

@final
class Call:
    def cancel(self) -> None: ...

@final
class Signal:
    @staticmethod
    def typed(
        name: str,
        at: int,
        *,
        trace_id: str | None = None,
        session_id: str | None = None,
        strength: float | None = None,
        confidence: float | None = None,
        signal_id: str | None = None,
    ) -> Signal: ...
    @staticmethod
    def action(
        action: str,
        at: int,
        *,
        trace_id: str | None = None,
        session_id: str | None = None,
        edit_ratio: float | None = None,
        edit_diff: str | None = None,
        edited_output: str | None = None,
        signal_id: str | None = None,
    ) -> Signal: ...
    @staticmethod
    def turn(
        message: str,
        at: int,
        *,
        prompt: str | None = None,
        output: str | None = None,
        keep: bool = False,
        trace_id: str | None = None,
        session_id: str | None = None,
        signal_id: str | None = None,
        engine: Engine | None = None,
    ) -> tuple[str, float, Signal | None]: ...
    @staticmethod
    def metric(
        success: bool,
        at: int,
        *,
        score: float | None = None,
        trace_id: str | None = None,
        session_id: str | None = None,
        signal_id: str | None = None,
    ) -> Signal: ...
    @staticmethod
    def session_end(session_id: str, satisfied: bool | None, at: int, *, signal_id: str | None = None) -> Signal: ...
    @staticmethod
    def withdrawal(signal_id: str, at: int) -> Signal: ...
    @staticmethod
    def run(
        at: int,
        *,
        session_id: str | None = None,
        trace_id: str | None = None,
        goal: str | None = None,
        model: str | None = None,
        prompt: str | None = None,
        output: str | None = None,
    ) -> Signal: ...
    def waits(self) -> bool: ...

@final
class Stream:
    def chosen(self) -> dict[str, Any]: ...
    def next(self) -> bytes | None: ...
    def next_async(self, callback: _Done) -> Call: ...
    def close(self) -> None: ...

@final
class Engine:
    @staticmethod
    def open(env: dict[str, str], home: str | PathLike[str] | None = None) -> Engine: ...
    def register(self, goal: str, paths_json: str) -> list[tuple[str, str]]: ...
    def paths(self, goal: str) -> list[tuple[str, str]] | None: ...
    def decide(self, scope: Mapping[str, Any]) -> dict[str, Any]: ...
    def complete(
        self, body: bytes, scope: Mapping[str, Any], timeout: float | None
    ) -> tuple[dict[str, Any], bytes]: ...
    def complete_async(self, body: bytes, scope: Mapping[str, Any], timeout: float | None, callback: _Done) -> Call: ...
    def stream(self, body: bytes, scope: Mapping[str, Any], timeout: float | None) -> Stream: ...
    def stream_async(self, body: bytes, scope: Mapping[str, Any], timeout: float | None, callback: _Done) -> Call: ...
    def send(self, signal: Signal) -> bool: ...
    def keeps_text(self) -> bool: ...
    def keep_text(
        self,
        kind: str,
        text: str,
        *,
        signal_id: str | None = None,
        at: int | None = None,
        trace_id: str | None = None,
        session_id: str | None = None,
    ) -> None: ...
    def erase(
        self,
        *,
        session_id: str | None = None,
        user: str | None = None,
        before: int | None = None,
        dry_run: bool = False,
    ) -> tuple[str, bool]: ...
    def export(self, *, session_id: str | None = None, user: str | None = None) -> str: ...
    def flush(self, seconds: float) -> bool: ...
    def explain(self, id: str) -> str | None: ...
    def goals(self) -> str: ...
    def has_classifier(self) -> bool: ...
    def classifier(self) -> str | None: ...
    def health(self) -> tuple[int, int]: ...
    def close(self, seconds: float) -> bool: ...
    def suspend(self) -> None: ...
    def resume(self) -> None: ...
