"""Routing: a goal's requests go to the path that works best for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Literal, overload

from kalibr import _async, _engine, _send, runs
from kalibr._checks import Checks
from kalibr._kalibr import Engine, Signal, check_failure_category
from kalibr.errors import GoalError, InvalidRequestError, NoRunError, ProviderError, UnknownGoalError
from kalibr.response import Response, parse, text_of
from kalibr.runs import Run
from kalibr.stream import AsyncStream, Stream, chosen_of, path_of

__all__ = ["Router"]

Path = str | Mapping[str, Any]


class Router:
    """Sends each request of a goal to one of its paths, and learns from what comes back.

    A router is cheap, may be made per request or shared by all threads and tasks, and keeps nothing of a request.

    Args:
        goal: a task with one success criterion, such as `"research_summary"`. At most 200 bytes, no slashes.
        paths: what this router chooses from: models (`"gpt-4o-mini"`), or dicts with `model` and perhaps `tools`,
            `params` (`{"model": "gpt-4o-mini", "params": {"temperature": 0}}`), `system` (a system prompt in place of
            the caller's, which `{{system}}` in it stands for) and `template` (put around the last user message, which
            `{{input}}` in it stands for). They are added to the goal, which is
            made where needed; paths that others gave it stay and are not this router's to choose. `None`: those that
            the goal has already.
        success_when: tells from the answer's text (tool calls as JSON where there is none) whether it succeeded. Runs
            right after the answer, for streams at their end, on the caller's thread. One that raises counts as no
            success and is logged once; the answer is returned all the same.
        score_when: the same with a score from 0 to 1; a score of at least 0.5 is a success. Takes the place of
            `success_when`.
        timeout: seconds in which a completion, fallbacks included, must be done (a stream: begun); after that it is a
            `ProviderError` of category `timeout`. `None`: the providers' own limits (`kalibr.toml`) alone.

    Raises:
        GoalError: no paths, a path that is none, or a name that cannot be one.
        UnknownGoalError: `paths` is `None` and there is no such goal.
        StoreError, ConfigError: the data folder or the configuration cannot be used.

    A goal or path that is new is written down first: that waits for the store, 10 seconds at the most. What is known
    already costs nothing, so a router may be made per request.

    Example:
        router = Router("research_summary", ["gpt-4o", {"model": "gpt-4o-mini", "params": {"temperature": 0}}],
                        success_when=lambda text: len(text) > 200)
        result = router.completion(messages=[{"role": "user", "content": "Summarise: ..."}])
    """

    def __init__(
        self,
        goal: str,
        paths: Sequence[Path] | Path | None = None,
        success_when: Callable[[str], bool] | None = None,
        score_when: Callable[[str], float] | None = None,
        *,
        timeout: float | None = None,
    ) -> None:
        if not isinstance(goal, str):
            raise GoalError(f"a goal's name is a string, not a {type(goal).__name__}")
        if timeout is not None and not timeout > 0:
            raise ValueError("timeout is a number of seconds above 0, or None")
        self.goal = goal
        self.timeout = timeout
        self._checks = Checks(success_when, score_when)
        if paths is None:
            known = _engine.get().paths(goal)
            if known is None:
                raise UnknownGoalError(f"there is no goal named {goal}: give Router its paths and it is made")
        else:
            known = _engine.get().register(goal, _paths_json(paths))
        self._candidates = None if paths is None else [path_id for path_id, _ in known]
        self.paths: list[dict[str, Any]] = [{"path_id": path_id, **path_of(path)} for path_id, path in known]
        """The paths that this router was made with, each with its `path_id`."""

    def __repr__(self) -> str:
        return f"<kalibr.Router goal={self.goal!r} paths={len(self.paths)}>"

    def decide(
        self,
        *,
        force_model: str | None = None,
        pipeline_id: str | None = None,
        session_id: str | None = None,
        user: str | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Chooses a path without calling it. Takes no I/O: some tens of microseconds.

        Arguments are those of `completion`.

        Returns:
            `trace_id` (for the feedback), `goal`, `bucket`, `model`, `tools`, `params`, `path_id`, `propensity` (the
            probability of this choice, 0..1) and `reason` (`exploitation`, `exploration`, `only_path`, `forced`).

        Raises:
            UnknownGoalError: the goal was deleted.
            NoPathError: none of the router's paths may be chosen, or none has the forced model.
            InvalidRequestError: an id is malformed, or `context` has a key that is unknown.

        Example:
            choice = router.decide()
            answer = my_client.chat(model=choice["model"], messages=messages)
            router.report(success=bool(answer), trace_id=choice["trace_id"])
        """
        routing = runs.routing(self.goal)
        made = _engine.get().decide(self._scope(force_model, pipeline_id, session_id, user, context))
        path = path_of(made.pop("path"))
        routing.run = Run(made["trace_id"], made["goal"], path["model"])
        return {**made, **path}

    @overload
    def completion(self, messages: Sequence[Any], *, stream: Literal[False] = ..., **more: Any) -> Response: ...
    @overload
    def completion(self, messages: Sequence[Any], *, stream: Literal[True], **more: Any) -> Stream: ...

    def completion(
        self,
        messages: Sequence[Any],
        *,
        stream: bool = False,
        force_model: str | None = None,
        pipeline_id: str | None = None,
        session_id: str | None = None,
        user: str | None = None,
        context: Mapping[str, Any] | None = None,
        **openai_params: Any,
    ) -> Response | Stream:
        """Chooses a path, calls it, and falls back to the next where a provider fails.

        Args:
            messages: the conversation, as OpenAI's API has it.
            stream: return an iterator of chunks.
            force_model: take the path with this model, whatever was learned.
            pipeline_id: isolates learning between users of one goal.
            session_id: the conversation that this answer belongs to: its later turns and actions grade it. Only a
                keyed hash of it is kept.
            user: for whom the answer is. Only a keyed hash is kept; it is passed on to no provider.
            context: what is known of this request, any of: `bucket`, a coarse class of it within which paths are
                compared (at most 200 bytes, no slashes, few different ones; without it a goal with `buckets = "auto"`
                classes by itself); `risk`, how bad a wrong answer is (`"low"`, `"medium"`, `"high"`); `max_cost_usd`
                and `max_latency_ms`, caps that hold beside the goal's own.
            openai_params: any parameter of OpenAI's chat completions. The path's own params win.

        Returns:
            A `Response`, or a `Stream` of chunks.

        Raises:
            ProviderError: no path brought an answer, or the caller's request is one that providers refuse.
            InvalidRequestError: the request cannot be sent, or an id is malformed.
            UnknownGoalError, NoPathError: as `decide`.

        Example:
            for chunk in router.completion(messages=messages, stream=True):
                print(chunk.choices[0].delta.content or "", end="")
        """
        routing = runs.routing(self.goal)
        scope = self._scope(force_model, pipeline_id, session_id, user, context)
        body = _body(messages, stream, openai_params)
        engine = _engine.get()
        if stream:
            started = Stream(engine.stream(body, scope, self.timeout), self._checks)
            routing.run = started.__kalibr_run__()
            return started
        return self._answer(routing, *engine.complete(body, scope, self.timeout))

    @overload
    def acompletion(
        self, messages: Sequence[Any], *, stream: Literal[False] = ..., **more: Any
    ) -> Coroutine[Any, Any, Response]: ...
    @overload
    def acompletion(
        self, messages: Sequence[Any], *, stream: Literal[True], **more: Any
    ) -> Coroutine[Any, Any, AsyncStream]: ...

    def acompletion(
        self,
        messages: Sequence[Any],
        *,
        stream: bool = False,
        force_model: str | None = None,
        pipeline_id: str | None = None,
        session_id: str | None = None,
        user: str | None = None,
        context: Mapping[str, Any] | None = None,
        **openai_params: Any,
    ) -> Coroutine[Any, Any, Response | AsyncStream]:
        """`completion` for asyncio: waits without holding up the event loop. A cancelled task gives its call up.

        Returns:
            A `Response`, or an `AsyncStream` of chunks, once awaited.

        Example:
            async for chunk in await router.acompletion(messages=messages, stream=True):
                print(chunk.choices[0].delta.content or "", end="")
        """
        # Here, and not in the coroutine: that may run in a task of its own, whose context the caller does not see.
        routing = runs.routing(self.goal)
        scope = self._scope(force_model, pipeline_id, session_id, user, context)
        return self._complete(routing, scope, _body(messages, stream, openai_params), stream)

    async def _complete(
        self, routing: runs.Routing, scope: dict[str, Any], body: bytes, stream: bool
    ) -> Response | AsyncStream:
        # Opening the data folder for the first time may wait.
        engine: Engine | None = _engine.opened()
        if engine is None:
            engine = await asyncio.to_thread(_engine.get)
        if stream:
            started = AsyncStream(
                await _async.call(partial(engine.stream_async, body, scope, self.timeout)), self._checks
            )
            routing.run = started.__kalibr_run__()
            return started
        return self._answer(routing, *await _async.call(partial(engine.complete_async, body, scope, self.timeout)))

    def report(
        self,
        success: bool,
        score: float | None = None,
        trace_id: str | None = None,
        reason: str | None = None,
        failure_category: str | None = None,
        *,
        strict: bool = False,
    ) -> bool:
        """Your own verdict on an answer, where `success_when` cannot see it: a `metric` signal. Returns at once.

        Args:
            success: whether the goal was met.
            score: how well, from 0 to 1; without it 1 for a success and 0 for a failure.
            trace_id: which answer. `None`: the last one that a router made for this goal in this task or thread. (What
                `asyncio.to_thread` or a thread pool made was made in another thread: give its trace id.)
            reason: for callers of the hosted SDK; not used and not sent, and kept only where the operator keeps texts.
            failure_category: checked against the protocol's names; not kept.
            strict: raise what is wrong instead of logging it once and returning False.

        Returns:
            Whether it was queued.

        Raises:
            InvalidSignalError, NoRunError, QueueFullError: only if `strict`.

        Example:
            router.report(success=True, score=0.8, trace_id=result.trace_id)
        """

        def make() -> Signal:
            if failure_category is not None:
                check_failure_category(failure_category)
            run = runs.run_of(trace_id) if trace_id is not None else runs.last_routed(self.goal)
            if run is None:
                raise NoRunError(f"no run of goal {self.goal} was made in this task or thread: give trace_id")
            _send.keep("reason", reason, {"trace_id": run.trace_id})
            return Signal.metric(success, _send.now(), score=score, trace_id=run.trace_id)

        return _send.quietly("report", make, strict)

    def _scope(
        self,
        force_model: str | None,
        pipeline_id: str | None,
        session_id: str | None,
        user: str | None,
        context: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        if context is not None and not isinstance(context, Mapping):
            raise InvalidRequestError('context is a dict such as {"bucket": "code"}')
        asked = dict(context or ())
        if set(asked) - {"bucket", "risk", "max_cost_usd", "max_latency_ms"}:
            raise InvalidRequestError(
                'context has the keys bucket, risk, max_cost_usd and max_latency_ms, such as {"bucket": "code"}; '
                "another one is in it"
            )
        for name, kinds, what, most in (
            ("max_cost_usd", (int, float), "a number of dollars above 0 and up to 1e6", 1e6),
            ("max_latency_ms", (int,), "a whole number of milliseconds above 0 and below 2**63", 2**63 - 1),
        ):
            value = asked.get(name)
            is_number = isinstance(value, kinds) and not isinstance(value, bool)
            if value is not None and not (is_number and 0 < value <= most):
                raise InvalidRequestError(f"{name} is {what}")
        scope = {
            "force_model": force_model,
            "pipeline_id": pipeline_id,
            "bucket": asked.get("bucket"),
            "risk": asked.get("risk"),
            "session_id": session_id,
            "user": user,
        }
        for name, value in scope.items():
            if value is not None and not isinstance(value, str):
                raise InvalidRequestError(f"{name} is a string, not a {type(value).__name__}")
        caps = {name: asked.get(name) for name in ("max_cost_usd", "max_latency_ms")}
        return {"goal": self.goal, "candidates": self._candidates, **scope, **caps}

    def _answer(self, routing: runs.Routing, chosen: dict[str, Any], body: bytes) -> Response:
        answer = parse(body)
        if answer is None:
            raise ProviderError(
                "the provider's answer is not a JSON object",
                category="malformed_output",
                trace_id=chosen["trace_id"],
                body=body,
            )
        response = Response(answer, chosen_of(chosen))
        routing.run = response.__kalibr_run__()
        if self._checks:
            choices = answer.get("choices")
            first = choices[0] if isinstance(choices, list) and choices else None
            self._checks.run(text_of(first.get("message") if isinstance(first, dict) else None), response.trace_id)
        return response


def _paths_json(paths: Sequence[Path] | Path) -> str:
    # A string is a sequence too, of letters that are no models.
    listed = [paths] if isinstance(paths, (str, Mapping)) else paths
    try:
        return json.dumps([dict(path) if isinstance(path, Mapping) else path for path in listed], allow_nan=False)
    except (TypeError, ValueError):
        raise GoalError("paths is a list of models and of dicts with model, tools, params, system and template, all plain JSON") from None


def _body(messages: Sequence[Any], stream: bool, params: dict[str, Any]) -> bytes:
    if isinstance(messages, (str, bytes, Mapping)) or not hasattr(messages, "__iter__"):
        raise InvalidRequestError('messages is a list such as [{"role": "user", "content": "Hello"}]')
    given = {name: value for name, value in params.items() if not _is_left_out(value)}
    # The path decides the model; a body without one is not OpenAI's.
    body = {**given, "model": given.get("model") or "goal", "messages": list(messages)}
    if stream:
        body["stream"] = True
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        problem = type(error).__name__
    # Out here, or it would carry along what went wrong, and that the text.
    raise InvalidRequestError(f"the request is not plain JSON: {problem} while writing it")


def _is_left_out(value: Any) -> bool:
    # The marker of OpenAI's client for a parameter that was not given.
    return type(value).__name__ in ("NotGiven", "Omit")


def _plain(value: Any) -> Any:
    """Messages of OpenAI's own client, which people append to the conversation as they came."""
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(exclude_none=True)
    raise TypeError
