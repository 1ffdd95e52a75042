"""The unmodified clients of Anthropic, OpenAI (Responses) and LangChain talk to `kalibr serve`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from fake_provider import FakeProvider, fake_provider
from gateway import call, gateway

LOOK_UP = {"type": "object", "properties": {"of": {"type": "integer"}}, "required": ["of"]}
ASKED: list[Any] = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with fake_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def address(provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    goals = "".join(
        f'[goals.{goal}]\npaths = ["fake/{model}"]\ncalls = {{ longest_wait_ms = 0 }}\n'
        for goal, model in {"echo": "echo", "tools": "tools", "limited": "limited", "down": "down"}.items()
    )
    with gateway(
        tmp_path_factory.mktemp("home"), f'[providers.fake]\nbase_url = "{provider.base_url}"\n{goals}'
    ) as address:
        yield address


@pytest.fixture
def claude(address: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=f"http://{address}", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def gpt(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://{address}/v1", api_key="any", max_retries=0) as client:
        yield client


def test_anthropics_client_is_answered_in_its_own_words_and_the_decision_is_named(
    claude: anthropic.Anthropic, provider: FakeProvider, address: str
) -> None:
    raw = claude.messages.with_raw_response.create(
        model="goal:echo", max_tokens=50, system="Be brief.", messages=ASKED, extra_body={"top_k": 4}
    )
    message = raw.parse()
    assert [block.text for block in message.content if block.type == "text"] == ["Hello"]
    assert (message.stop_reason, message.role, message.usage.input_tokens) == ("end_turn", "assistant", 3)
    sent = provider.requests[-1]
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert sent["max_tokens"] == 50
    # What chat completions have no word for is told, and the decision can be graded.
    assert raw.headers["x-kalibr-losses"] == "top_k"
    decision = call(address, "GET", f"/v1/decisions/{raw.headers['x-kalibr-trace-id']}").json()
    assert decision["attempts"][0]["served"] is True


def test_anthropics_client_streams(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(model="goal:echo", max_tokens=50, messages=ASKED) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text.strip() == "Hello"
    assert final.stop_reason == "end_turn" and final.usage.output_tokens > 0


def test_tools_of_anthropics_client_are_offered_called_and_answered(
    claude: anthropic.Anthropic, provider: FakeProvider
) -> None:
    tools: list[Any] = [{"name": "look_up", "description": "looks up", "input_schema": LOOK_UP}]
    message = claude.messages.create(model="goal:tools", max_tokens=50, messages=ASKED, tools=tools)
    used = next(block for block in message.content if block.type == "tool_use")
    assert (used.name, used.input) == ("look_up", {"of": 1})
    assert provider.requests[-1]["tools"][0]["function"]["parameters"] == LOOK_UP
    result = {"type": "tool_result", "tool_use_id": used.id, "content": "found"}
    again: list[Any] = [
        *ASKED,
        {"role": "assistant", "content": [block.model_dump() for block in message.content]},
        {"role": "user", "content": [result]},
    ]
    claude.messages.create(model="goal:echo", max_tokens=50, messages=again, tools=tools)
    roles = [message["role"] for message in provider.requests[-1]["messages"]]
    assert roles == ["user", "assistant", "tool"]


def test_errors_reach_anthropics_client_as_its_own(claude: anthropic.Anthropic, address: str) -> None:
    with pytest.raises(anthropic.NotFoundError) as unknown:
        claude.messages.create(model="goal:nowhere", max_tokens=5, messages=ASKED)
    assert "nowhere" in unknown.value.message
    with pytest.raises(anthropic.RateLimitError) as limited:
        claude.messages.create(model="goal:limited", max_tokens=5, messages=ASKED)
    assert limited.value.response.headers["retry-after"] == "7"
    assert limited.value.body == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "cannot: Hello"},
    }
    with pytest.raises(anthropic.InternalServerError):
        claude.messages.create(model="goal:down", max_tokens=5, messages=ASKED)
    for body in ({"model": "goal:echo"}, {"model": "goal:echo", "max_tokens": 5, "messages": "CANARY"}, ["CANARY"]):
        reply = call(address, "POST", "/v1/messages", body)
        assert reply.status == 400 and reply.json()["type"] == "error"
        assert "CANARY" not in reply.text


def test_responses_are_answered_and_streamed(gpt: openai.OpenAI) -> None:
    raw = gpt.responses.with_raw_response.create(model="goal:echo", instructions="Be brief.", input="Hello")
    response = raw.parse()
    assert response.output_text == "Hello" and response.status == "completed"
    assert response.usage is not None and response.usage.input_tokens == 3
    assert raw.headers["x-kalibr-trace-id"]
    with gpt.responses.stream(model="goal:echo", input="Hello") as stream:
        events = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text.strip() == "Hello"
    assert events[0] == "response.created" and events[-1] == "response.completed"


def test_tools_of_responses_are_called(gpt: openai.OpenAI) -> None:
    tools: list[Any] = [{"type": "function", "name": "look_up", "parameters": LOOK_UP, "strict": True}]
    response = gpt.responses.create(model="goal:tools", input="Hello", tools=tools)
    called = next(item for item in response.output if item.type == "function_call")
    assert (called.name, json.loads(called.arguments)) == ("look_up", {"of": 1})


def test_what_responses_cannot_do_here_is_refused_by_name(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        gpt.responses.create(model="goal:echo", input="Hello", previous_response_id="resp_1")
    assert "previous_response_id" in str(refused.value)
    with pytest.raises(openai.RateLimitError):
        gpt.responses.create(model="goal:limited", input="Hello")


def test_langchains_clients_work(address: str) -> None:
    from langchain_anthropic import ChatAnthropic
    from langchain_openai import ChatOpenAI

    clients: list[Any] = [
        ChatOpenAI(model="goal:echo", base_url=f"http://{address}/v1", api_key="any"),
        ChatAnthropic(model="goal:echo", base_url=f"http://{address}", api_key="any"),
    ]
    for client in clients:
        assert client.invoke("Hello").content == "Hello"
        assert "".join(chunk.text for chunk in client.stream("Hello")).strip() == "Hello"
        tool = {"name": "look_up", "description": "looks up", "parameters": LOOK_UP}
        bound = type(client)(
            model="goal:tools",
            base_url=f"http://{address}" + ("/v1" if isinstance(client, ChatOpenAI) else ""),
            api_key="any",
        ).bind_tools([tool])
        assert bound.invoke("Hello").tool_calls[0]["args"] == {"of": 1}
