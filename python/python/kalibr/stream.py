"""Answers that arrive in chunks."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any

from kalibr import _async, _kalibr
from kalibr._checks import Checks
from kalibr.response import JsonObject, parse, text_of
from kalibr.runs import Run, fingerprint

__all__ = ["AsyncStream", "Stream"]


def chosen_of(chosen: dict[str, Any]) -> dict[str, Any]:
    """What Kalibr's objects know of a decision, from what the native half says of it."""
    path = path_of(chosen["path"])
    # A fallback was not drawn: no probability is its own.
    propensity = chosen["propensity"] if chosen["attempt"] == 0 else None
    return {**chosen, "path": path, "model": path["model"], "propensity": propensity}


def path_of(text: str) -> dict[str, Any]:
    """A path as the native half writes it, which leaves out what is empty."""
    return {"model": "", "tools": [], "params": {}, **json.loads(text)}


class _Streamed:
    """What both kinds of streams are: chunks, the decision behind them, and the check at their end."""

    trace_id: str
    """Names the decision."""
    goal: str
    bucket: str
    """The class of the request, within which paths are compared."""
    model: str
    """The model of the path that answers."""
    path: dict[str, Any]
    path_id: str
    propensity: float | None
    """The probability with which this path was drawn; `None` for a fallback."""
    attempt: int
    reason: str

    def __init__(self, stream: _kalibr.Stream, checks: Checks) -> None:
        self.__dict__.update(chosen_of(stream.chosen()))
        self._stream = stream
        self._checks = checks
        self._provider_model: str | None = None
        self._content: list[str] = []
        self._tool_calls: dict[int, dict[str, Any]] = {}
        self._done = False

    @property
    def kalibr_trace_id(self) -> str:
        """`trace_id`, by the name that it has in the hosted SDK."""
        return self.trace_id

    def __repr__(self) -> str:
        return f"<kalibr.{type(self).__name__} trace_id={self.trace_id} goal={self.goal!r} model={self.model!r}>"

    def __kalibr_run__(self) -> Run:
        answer = fingerprint("".join(self._content)) if self._done and self._content else None
        return Run(self.trace_id, self.goal, self.model, self._provider_model, answer)

    def _take(self, data: bytes | None) -> JsonObject | None:
        """The chunk, or `None` at the end of the answer: then it is checked."""
        if data is None:
            if not self._done:
                self._done = True
                self._check()
            return None
        chunk = parse(data)
        if chunk is None:
            return JsonObject()
        if self._provider_model is None and isinstance(chunk.get("model"), str):
            self._provider_model = chunk["model"]
        if self._collect(chunk) and not self._done:
            # Many readers leave at the finish_reason, and the answer is whole by then.
            self._done = True
            self._check()
        return chunk

    def _collect(self, chunk: JsonObject) -> bool:
        """Takes a chunk in. Returns whether the first choice is complete with it."""
        # A provider's chunk may have any shape: what does not look like OpenAI's adds nothing to what is checked.
        with contextlib.suppress(AttributeError, KeyError, IndexError, TypeError, ValueError):
            choice = chunk["choices"][0]
            if choice.get("index", 0) != 0:
                return False
            delta = choice.get("delta") or {}
            if delta.get("content"):
                self._content.append(delta["content"])
            for part in delta.get("tool_calls") or ():
                whole = self._tool_calls.setdefault(
                    part.get("index", 0), {"type": "function", "function": {"name": "", "arguments": ""}}
                )
                if part.get("id"):
                    whole["id"] = part["id"]
                for key in ("name", "arguments"):
                    whole["function"][key] += (part.get("function") or {}).get(key) or ""
            return choice.get("finish_reason") is not None
        return False

    def _check(self) -> None:
        if self._checks:
            calls = [call for _, call in sorted(self._tool_calls.items())]
            self._checks.run(text_of({"content": "".join(self._content), "tool_calls": calls}), self.trace_id)


class Stream(_Streamed):
    """The chunks of an answer, as an iterator. It knows the decision behind it as a `Response` does.

    Leaving it before its end, by `close()`, by the end of a `with` block or by dropping it, gives the rest up.

    Raises:
        ProviderError: while iterating, when the provider breaks off.

    Example:
        with router.completion(messages=messages, stream=True) as stream:
            for chunk in stream:
                print(chunk.choices[0].delta.content or "", end="")
    """

    def __iter__(self) -> Iterator[JsonObject]:
        return self

    def __next__(self) -> JsonObject:
        chunk = self._take(self._stream.next())
        if chunk is None:
            raise StopIteration
        return chunk

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the rest of the answer up. An answer that was not read to its `finish_reason` is not checked."""
        self._done = True
        self._stream.close()


class AsyncStream(_Streamed):
    """The chunks of an answer, as an asynchronous iterator; otherwise as `Stream`.

    Example:
        async with await router.acompletion(messages=messages, stream=True) as stream:
            async for chunk in stream:
                print(chunk.choices[0].delta.content or "", end="")
    """

    def __aiter__(self) -> AsyncIterator[JsonObject]:
        return self

    async def __anext__(self) -> JsonObject:
        chunk = self._take(await _async.call(self._stream.next_async))
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Gives the rest of the answer up. An answer that was not read to its `finish_reason` is not checked."""
        self._done = True
        self._stream.close()

    close = aclose
