"""The object that a completion returns, and what gives it in parts."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import logging
import pickle
import weakref
from collections.abc import Iterator

import kalibr
import pytest
from conftest import HELLO, Home
from fake_provider import FakeProvider, fake_provider

WORDS = [{"role": "user", "content": "one two three four"}]


@pytest.fixture
def provider(home: Home) -> Iterator[FakeProvider]:
    with fake_provider() as server:
        home.add_config(f'[providers.fake]\nbase_url = "{server.base_url}"\n')
        yield server


@pytest.fixture
def result(provider: FakeProvider) -> kalibr.Response:
    return kalibr.Router("g", ["fake/echo"]).completion(WORDS)


def test_it_reads_as_openais_object_does(result: kalibr.Response) -> None:
    assert result.id == "chatcmpl-1"
    assert result.choices[0].message.content == "one two three four"
    assert result.choices[0].message.tool_calls is None
    assert result.choices[0].finish_reason == "stop"
    assert result.usage.total_tokens == 7
    assert result.system_fingerprint is None
    with pytest.raises(AttributeError, match="colour"):
        _ = result.colour


def test_it_reads_as_a_dict_does(result: kalibr.Response) -> None:
    assert result["choices"][0]["message"]["content"] == "one two three four"
    assert result.get("usage", {}).get("total_tokens") == 7
    assert result.get("colour", "none") == "none"
    assert "choices" in result and "colour" not in result
    assert list(result) == ["id", "object", "created", "model", "choices", "usage"]
    assert json.loads(json.dumps(result)) == result.to_dict() == result.model_dump(exclude_none=True)
    assert type(result.to_dict()["choices"][0]) is dict
    with pytest.raises(KeyError):
        _ = result["colour"]


def test_it_knows_its_decision(result: kalibr.Response) -> None:
    assert result.trace_id == result.kalibr_trace_id == result["trace_id"] == result.get("kalibr_trace_id")
    assert (result.goal, result.model, result.attempt, result.reason) == ("g", "fake/echo", 0, "only_path")
    assert (result.propensity, len(result.path_id)) == (1.0, 32)
    assert result.path == {"model": "fake/echo", "tools": [], "params": {}}
    assert result["model"] == "echo-2026-01-01"
    assert "trace_id" in result and "trace_id" not in result.to_dict()


def test_it_copies_pickles_and_can_be_weakly_held(result: kalibr.Response) -> None:
    for twin in (pickle.loads(pickle.dumps(result)), copy.copy(result), copy.deepcopy(result)):
        assert type(twin) is kalibr.Response and twin == result
        assert (twin.trace_id, twin.path) == (result.trace_id, result.path)
        assert twin.choices[0].message.content == result.choices[0].message.content
    held = weakref.ref(result)
    assert held() is result


def test_what_it_prints_shows_nothing_that_was_said(result: kalibr.Response) -> None:
    for text in (repr(result), str(result), f"{result}"):
        assert result.trace_id in text and "three" not in text


def metric(trace_id: str) -> list[str]:
    return [e["value"] for e in kalibr.explain(trace_id)["evidence"] if e["source"] == "metric"]


def test_a_stream_is_an_iterator_that_knows_its_decision(provider: FakeProvider) -> None:
    seen: list[str] = []
    router = kalibr.Router("g", ["fake/echo"], success_when=lambda text: seen.append(text) is None)
    with router.completion(WORDS, stream=True) as stream:
        assert (stream.goal, stream.model, stream.attempt) == ("g", "fake/echo", 0)
        assert stream.path["model"] == "fake/echo" and len(stream.trace_id) == 32
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == "one two three four "
    assert seen == [text]
    assert metric(stream.trace_id) == ["passed"]
    assert next(stream, None) is None and len(seen) == 1
    assert "three" not in repr(stream)


def test_an_async_stream_does_the_same(provider: FakeProvider) -> None:
    router = kalibr.Router("g", ["fake/echo"], success_when=lambda text: len(text) > 100)

    async def run() -> tuple[str, str]:
        async with await router.acompletion(WORDS, stream=True) as stream:
            kalibr.track_run(stream)
            parts = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert kalibr.feedback.user_accepted()
        return "".join(parts), stream.trace_id

    text, trace_id = asyncio.run(run())
    assert text == "one two three four "
    assert metric(trace_id) == ["failed"]
    assert {e["source"] for e in kalibr.explain(trace_id)["evidence"]} == {"metric", "explicit"}


@pytest.mark.parametrize("use_async", [False, True])
def test_a_stream_that_breaks_off_is_a_provider_error_and_is_not_checked(
    provider: FakeProvider, use_async: bool
) -> None:
    router = kalibr.Router("g", ["fake/cut"], success_when=lambda _: True)
    parts: list[str] = []

    async def read() -> None:
        async for chunk in await router.acompletion(WORDS, stream=True):
            parts.append(chunk.choices[0].delta.content)

    with pytest.raises(kalibr.ProviderError) as caught:
        if use_async:
            asyncio.run(read())
        for chunk in router.completion(WORDS, stream=True):
            parts.append(chunk.choices[0].delta.content)
    assert parts == ["one ", "two "]
    explained = kalibr.explain(caught.value.trace_id)
    assert explained["evidence"] == [] and explained["attempts"][0]["answered"] is False


@pytest.mark.parametrize("leave", ["close", "with", "drop"])
def test_an_abandoned_stream_closes_its_connection_and_blames_nobody(provider: FakeProvider, leave: str) -> None:
    router = kalibr.Router("g", ["fake/endless"], success_when=lambda _: True)
    stream = router.completion(WORDS, stream=True)
    trace_id = stream.trace_id
    assert next(stream).choices[0].delta.content == "one "
    if leave == "close":
        stream.close()
        assert list(stream) == []
    elif leave == "with":
        with stream:
            next(stream)
    del stream
    gc.collect()
    assert provider.gave_up.wait(5)
    explained = kalibr.explain(trace_id)
    assert explained["attempts"][0]["answered"] is None and explained["evidence"] == []


def test_an_abandoned_async_stream_closes_its_connection(provider: FakeProvider) -> None:
    router = kalibr.Router("g", ["fake/endless"])

    async def run() -> None:
        stream = await router.acompletion(WORDS, stream=True)
        await anext(stream)
        task = asyncio.create_task(_read_on(stream))
        await asyncio.sleep(0.05)
        task.cancel()

    asyncio.run(run())
    gc.collect()
    assert provider.gave_up.wait(5)


async def _read_on(stream: kalibr.AsyncStream) -> None:
    async for _ in stream:
        pass


def test_a_failure_before_the_first_chunk_is_raised_at_the_call(provider: FakeProvider) -> None:
    with pytest.raises(kalibr.ProviderError) as caught:
        kalibr.Router("g", ["fake/limited"]).completion(HELLO, stream=True)
    assert caught.value.category == "rate_limited"


def test_a_check_that_raises_at_the_end_of_a_stream_is_logged_and_not_raised(
    provider: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    router = kalibr.Router("g", ["fake/echo"], score_when=lambda text: text.no_such_thing)
    with caplog.at_level(logging.DEBUG):
        stream = router.completion(WORDS, stream=True)
        assert len(list(stream)) == 5
    assert metric(stream.trace_id) == ["failed"] and "three" not in caplog.text


def test_what_is_changed_by_attribute_is_changed_in_the_json(home: Home) -> None:
    result = kalibr.Router("g", ["lab/good"]).completion(HELLO)
    message = result.choices[0].message
    message.content = "REDACTED"
    assert message["content"] == "REDACTED" and "REDACTED" in result.model_dump_json()
    with pytest.raises(AttributeError):
        result.trace_id = "another"
    assert result.copy().trace_id == result.trace_id
    message.refusal = None
    assert "refusal" not in result.model_dump(exclude_none=True)["choices"][0]["message"]
