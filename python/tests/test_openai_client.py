"""The unmodified OpenAI client talks to `kalibr serve`, with a goal as its model."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator

import openai
import pytest
from gateway import call, gateway

CONFIG = """
[providers.sim]
kind = "simulated"
models.good = { quality = 1.0 }
models.poor = { quality = 0.0 }
models.dead = { quality = 1.0, failure_rate = 1.0 }

[goals.greet]
paths = ["sim/good", "sim/poor"]

[goals.limping]
paths = ["sim/dead", "sim/good"]

[goals.broken]
paths = ["sim/dead"]
"""
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with gateway(tmp_path_factory.mktemp("home"), CONFIG) as address:
        yield address


@pytest.fixture
def client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://{address}/v1", api_key="any", max_retries=0) as client:
        yield client


def test_a_goal_answers_like_a_model(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="goal:greet", messages=HELLO)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None and answer.usage.total_tokens > 0


def test_a_goal_streams_like_a_model(client: openai.OpenAI) -> None:
    with client.chat.completions.create(model="goal:greet", messages=HELLO, stream=True) as stream:
        chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_usage_in_a_stream_comes_when_it_was_asked_for_and_only_then(client: openai.OpenAI) -> None:
    create = functools.partial(client.chat.completions.create, model="goal:greet", messages=HELLO, stream=True)
    asked = list(create(stream_options={"include_usage": True}))
    assert asked[-1].usage is not None and not asked[-1].choices
    assert all(chunk.choices for chunk in create())


def test_the_async_client_works_too(address: str) -> None:
    async def run() -> tuple[str, str]:
        async with openai.AsyncOpenAI(base_url=f"http://{address}/v1", api_key="any") as client:
            whole = await client.chat.completions.create(model="goal:greet", messages=HELLO)
            parts = []
            async for chunk in await client.chat.completions.create(model="goal:greet", messages=HELLO, stream=True):
                parts.append(chunk.choices[0].delta.content or "")
            return whole.choices[0].message.content or "", "".join(parts)

    whole, parts = asyncio.run(run())
    assert whole and parts


def test_a_model_that_is_no_goal_passes_through(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="sim/poor", messages=HELLO)
    assert "x-kalibr-trace-id" not in raw.headers
    assert raw.parse().choices[0].message.content


def test_the_models_of_a_gateway_are_its_goals_and_what_they_route_to(client: openai.OpenAI) -> None:
    models = {model.id for model in client.models.list()}
    assert {"goal:greet", "goal:limping", "sim/good", "sim/poor"} <= models
    assert client.models.retrieve("goal:greet").id == "goal:greet"


def test_a_failing_path_is_invisible_to_the_caller(client: openai.OpenAI) -> None:
    for _ in range(10):
        raw = client.chat.completions.with_raw_response.create(model="goal:limping", messages=HELLO)
        assert raw.headers["x-kalibr-model"] == "sim/good"


def test_errors_are_the_clients_own_and_say_what_to_do(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="PUT /v1/goals/nobody") as unknown:
        client.chat.completions.create(model="goal:nobody", messages=HELLO)
    assert unknown.value.code == "goal_not_found"
    with pytest.raises(openai.BadRequestError, match="messages"):
        client.chat.completions.create(model="goal:greet", messages=[])
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="goal:broken", messages=HELLO)


def test_what_users_accept_is_routed_to(address: str, client: openai.OpenAI) -> None:
    """The loop from outside: 40 requests, three levels of signals, and the share that follows."""
    assert call(address, "PUT", "/v1/goals/loop", {"paths": ["sim/poor", "sim/good"]}).status == 200
    for i in range(40):
        session = {"x-kalibr-session": f"user-{i}"}
        raw = client.chat.completions.with_raw_response.create(model="goal:loop", messages=HELLO, extra_headers=session)
        model, trace = raw.headers["x-kalibr-model"], raw.headers["x-kalibr-trace-id"]
        likes = model == "sim/good"
        if i % 3 == 0:
            kind = "user_accepted" if likes else "user_rejected"
            sent = call(address, "POST", "/v1/signals", {"type": kind, "trace_id": trace})
        elif i % 3 == 1:
            message = "Perfect, thanks!" if likes else "This is wrong, try again."
            sent = call(address, "POST", f"/v1/sessions/user-{i}/turns", {"user_message": message})
            assert sent.json()["asserted"] is True
        else:
            action = "output_used_verbatim" if likes else "output_discarded"
            sent = call(address, "POST", f"/v1/sessions/user-{i}/actions", {"action_type": action})
        assert sent.status == 200 and sent.json()["joined"] is True
    learned = call(address, "GET", "/v1/goals/loop").json()["learned"][0]["paths"]
    assert learned[1]["share"] > 0.9, learned
