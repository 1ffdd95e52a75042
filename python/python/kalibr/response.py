"""What a completion returns: the provider's answer as it came, and what Kalibr knows of it."""

from __future__ import annotations

import json
from typing import Any

from kalibr.runs import Run, fingerprint

__all__ = ["JsonObject", "Response"]

# OpenAI's own client has these on its objects whether the provider sent them or not.
_OPTIONAL = frozenset(
    {"annotations", "audio", "completion_tokens_details", "content", "delta", "error", "finish_reason"}
    | {"function_call", "id", "logprobs", "name", "parsed", "prompt_tokens_details", "reasoning_content", "refusal"}
    | {"role", "service_tier", "stop_reason", "system_fingerprint", "tool_calls", "usage"}
)


class JsonObject(dict[str, Any]):
    """A JSON object whose members are attributes too: `chunk.choices[0].delta.content`.

    Members that OpenAI's API leaves out at times read as `None`; any other that is missing is an `AttributeError`.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            if name in _OPTIONAL:
                return None
            raise AttributeError(f"the answer has no {name!r}; it has {', '.join(self)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        # An attribute and its member are one: who redacts a text by attribute must not send on the old one.
        self[name] = value

    def to_dict(self) -> dict[str, Any]:
        """A copy in plain dicts and lists."""
        return {key: _plain(value) for key, value in self.items()}

    def model_dump(self, *, exclude_none: bool = False, **_: Any) -> dict[str, Any]:
        """As `to_dict`, by the name that it has on OpenAI's objects; their other options are accepted and change
        nothing.

        Args:
            exclude_none: leave out members that are `None`, at every depth.
        """
        plain = self.to_dict()
        return _without_none(plain) if exclude_none else plain

    def to_json(self, *, indent: int | None = 2, **_: Any) -> str:
        """The JSON text, as OpenAI's objects write it."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)

    def model_dump_json(self, *, indent: int | None = None, exclude_none: bool = False, **_: Any) -> str:
        """`model_dump` as JSON text."""
        return json.dumps(self.model_dump(exclude_none=exclude_none), indent=indent, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, JsonObject):
        return value.to_dict()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value


def parse(body: bytes) -> JsonObject | None:
    """The JSON object in `body`, or `None` if it holds something else."""
    try:
        value = json.loads(body, object_hook=JsonObject)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, JsonObject) else None


class Response(JsonObject):
    """An answer.

    It is the provider's JSON, by attribute, by key and by iteration, and knows the decision behind it: `trace_id`,
    `goal`, `model`, `path`, `path_id`, `propensity`, `attempt`, `reason`. These read by key too where the provider sent
    no member of that name, but are not part of its JSON: iteration and `to_dict` leave them out.

    `result.model` is the model of the path that answered, as you named it. The provider's own name for it, which often
    carries a version, is `result["model"]`.

    Example:
        result = router.completion(messages=messages)
        print(result.choices[0].message.content, result["usage"]["total_tokens"], result.trace_id)
    """

    trace_id: str
    """Names the decision; feedback may address it from anywhere by this."""
    goal: str
    bucket: str
    """The class of the request, within which paths are compared; `all` where nothing classed it."""
    model: str
    """The model of the path that answered."""
    path: dict[str, Any]
    """Model, tools and params of the path that answered."""
    path_id: str
    propensity: float | None
    """The probability with which this path was drawn, in 0..1; `None` where a fallback answered: it was not drawn."""
    attempt: int
    """0 if the path that was drawn answered, 1 for the first fallback, and so on."""
    reason: str
    """Why the path was drawn: `exploitation`, `exploration`, `only_path`, `forced`."""

    def __init__(self, body: dict[str, Any], chosen: dict[str, Any]) -> None:
        super().__init__(body)
        self.__dict__.update(chosen)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _KALIBR:
            raise AttributeError(f"{name} is what was decided, and cannot be set")
        super().__setattr__(name, value)

    def copy(self) -> Response:
        """A shallow copy, of the same run."""
        return Response(self, self.__dict__)

    @property
    def kalibr_trace_id(self) -> str:
        """`trace_id`, by the name that it has in the hosted SDK."""
        return self.trace_id

    def __missing__(self, key: str) -> Any:
        if key in _KALIBR:
            return getattr(self, key)
        raise KeyError(key)

    def get(self, key: str, default: Any = None) -> Any:
        """The member of this name, or `default`."""
        try:
            return self[key]
        except KeyError:
            return default

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in _KALIBR

    def __repr__(self) -> str:
        # Answers get logged by accident; what a user and a model said must not be in there.
        return f"<kalibr.Response trace_id={self.trace_id} goal={self.goal!r} model={self.model!r}>"

    __str__ = __repr__

    def __reduce__(self) -> tuple[Any, ...]:
        return Response, (dict(self), dict(self.__dict__))

    def __kalibr_run__(self) -> Run:
        own = dict.get(self, "model")
        choices = dict.get(self, "choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        text = text_of(first.get("message")) if isinstance(first, dict) else ""
        answer = fingerprint(text) if text else None
        return Run(self.trace_id, self.goal, self.model, own if isinstance(own, str) else None, answer)


_KALIBR = frozenset(
    {"trace_id", "kalibr_trace_id", "goal", "bucket", "model", "path", "path_id", "propensity", "attempt", "reason"}
)


def text_of(message: Any) -> str:
    """What a check reads of an answer: the text, or the tool calls as JSON where there is none."""
    if not isinstance(message, dict):
        return ""
    content = message.get("content")
    if isinstance(content, str) and content:
        return content
    for part in (content, message.get("tool_calls"), message.get("function_call")):
        if part:
            return json.dumps(part, ensure_ascii=False)
    return ""
