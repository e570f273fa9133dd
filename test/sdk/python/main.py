"""OpenAI's client for Python: sync and async, streams, parsing with pydantic, raw responses, tools, Responses."""

import asyncio
import json
import os
import sys
import traceback
from typing import Callable, Literal

import openai
from openai import AsyncOpenAI, OpenAI, pydantic_function_tool
from pydantic import BaseModel, Field

model = os.environ["SDK_MODEL"]
prompt = os.environ["SDK_PROMPT"]
answer = os.environ["SDK_ANSWER"]
client = OpenAI()
greedy = dict(model=model, messages=[{"role": "user", "content": prompt}], temperature=0, max_tokens=60)
asked = dict(model=model, input=prompt, temperature=0, max_output_tokens=60)
failed = False


def show(what: str) -> Callable[[Callable[[], None]], None]:
    """Runs the function at once and tells how it went."""

    def run(check: Callable[[], None]) -> None:
        global failed
        try:
            check()
            print(f"ok {what}", flush=True)
        except Exception:
            failed = True
            print(f"not ok {what}: {traceback.format_exc()}", file=sys.stderr, flush=True)

    return run


def raises(kind: type[openai.APIStatusError], ask: Callable[[], object]) -> openai.APIStatusError:
    try:
        ask()
    except kind as error:
        assert error.request_id is not None and error.request_id.startswith("req_"), error.request_id
        return error
    raise AssertionError(f"no {kind.__name__}")


@show("chat answers greedily, usage adds up, a request id")
def _() -> None:
    completion = client.chat.completions.create(**greedy)
    assert completion.choices[0].message.content == answer
    assert completion.choices[0].finish_reason == "stop"
    usage = completion.usage
    assert usage is not None and usage.completion_tokens > 10
    assert usage.prompt_tokens + usage.completion_tokens == usage.total_tokens
    assert completion._request_id is not None and completion._request_id.startswith("req_")


@show("headers by with_raw_response")
def _() -> None:
    raw = client.chat.completions.with_raw_response.create(**greedy)
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["content-type"].startswith("application/json")
    assert int(raw.headers["openai-processing-ms"]) > 0
    assert int(raw.headers["x-ratelimit-remaining-requests"]) <= 10_000
    assert raw.parse().choices[0].message.content == answer
    with client.chat.completions.with_streaming_response.create(**greedy, stream=True) as streaming:
        assert streaming.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in streaming.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"


@show("stream, by hand and by helper")
def _() -> None:
    chunks = list(client.chat.completions.create(**greedy, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == answer
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({c.id for c in chunks}) == 1
    assert all(c.usage is None for c in chunks[:-1])
    assert chunks[-1].choices == [] and chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 10
    with client.chat.completions.stream(**greedy) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        assert text == answer == stream.get_final_completion().choices[0].message.content


@show("async: five at once, all the same, and a stream left early")
def _() -> None:
    async def ask() -> None:
        async with AsyncOpenAI() as several:
            answers = await asyncio.gather(*(several.chat.completions.create(**greedy) for _ in range(5)))
            assert {a.choices[0].message.content for a in answers} == {answer}
            assert len({a.id for a in answers}) == 5
            stream = await several.chat.completions.create(**{**greedy, "max_tokens": 2000}, stream=True)
            async for _chunk in stream:
                break
            await stream.close()
            text = ""
            async for chunk in await several.chat.completions.create(**greedy, stream=True):
                text += chunk.choices[0].delta.content or ""
            assert text == answer

    asyncio.run(ask())


@show("log-probabilities, biases and stop")
def _() -> None:
    first = client.chat.completions.create(**greedy, logprobs=True, top_logprobs=2, extra_body={"return_token_ids": True})
    logprobs = first.choices[0].logprobs
    assert logprobs is not None and logprobs.content is not None
    assert all(len(token.top_logprobs) == 2 and token.logprob <= 0 for token in logprobs.content)
    token_ids = first.choices[0].model_extra["token_ids"]
    banned = client.chat.completions.create(**greedy, logit_bias={str(token_ids[0]): -100})
    assert banned.choices[0].message.content != answer
    stop = answer[20:26]
    stopped = client.chat.completions.create(**greedy, stop=[stop, "no such text"])
    assert stopped.choices[0].message.content == answer[: answer.index(stop)]


@show("error classes")
def _() -> None:
    hot = raises(openai.BadRequestError, lambda: client.chat.completions.create(**{**greedy, "temperature": 3}))
    assert hot.param == "temperature" and hot.type == "invalid_request_error"
    absent = raises(openai.NotFoundError, lambda: client.models.retrieve("absent/model"))
    assert absent.code == "model_not_found"
    stranger = OpenAI(api_key="sk-of-somebody-else")
    assert raises(openai.AuthenticationError, lambda: stranger.models.list()).code == "invalid_api_key"
    bodyless = raises(openai.BadRequestError, lambda: client.chat.completions.create(model=model, messages=[]))
    assert bodyless.param == "messages"
    unknown = raises(openai.NotFoundError, lambda: client.images.generate(prompt="a cat"))
    assert unknown.code == "unknown_url"


@show("models and text completions")
def _() -> None:
    assert model in [m.id for m in client.models.list()]
    batch = client.completions.create(model=model, prompt=["One two", "Three four"], max_tokens=3, temperature=0)
    assert [choice.index for choice in batch.choices] == [0, 1]
    scored = client.completions.create(model=model, prompt="One two", max_tokens=0, echo=True, logprobs=0)
    assert scored.choices[0].text == "One two"
    assert scored.choices[0].logprobs is not None
    scores = scored.choices[0].logprobs.token_logprobs
    assert scores is not None and scores[0] is None and all(s <= 0 for s in scores[1:])


class City(BaseModel):
    name: Literal["Paris", "Rome", "Oslo"]
    is_capital: bool
    population: int = Field(ge=1, le=99)
    sights: list[Literal["tower", "river", "museum"]] = Field(min_length=1, max_length=3)


describe = [{"role": "user", "content": "Describe Paris as JSON."}]


@show("parse with pydantic, whole and streamed")
def _() -> None:
    request = {**greedy, "messages": describe, "max_tokens": 200, "response_format": City}
    completion = client.chat.completions.parse(**request)
    assert completion.choices[0].finish_reason == "stop"
    city = completion.choices[0].message.parsed
    assert isinstance(city, City)
    with client.chat.completions.stream(**request) as stream:
        for event in stream:
            pass
        assert stream.get_final_completion().choices[0].message.parsed == city
    try:
        client.chat.completions.parse(**{**request, "max_tokens": 3})
        raise AssertionError("an answer cut short was parsed")
    except openai.LengthFinishReasonError as error:
        assert error.completion.usage is not None and error.completion.usage.completion_tokens == 3


class GetWeather(BaseModel):
    """The weather in a city now."""

    city: Literal["Paris", "Rome", "Oslo"]
    unit: Literal["celsius", "fahrenheit"]


@show("tools: parsed arguments, the same streamed, the result goes back")
def _() -> None:
    messages = [{"role": "user", "content": "What is the weather in Paris in celsius?"}]
    request = {
        **greedy,
        "messages": messages,
        "max_tokens": 200,
        "tools": [pydantic_function_tool(GetWeather, name="get_weather")],
        "tool_choice": "required",
        "parallel_tool_calls": False,
    }
    completion = client.chat.completions.parse(**request)
    assert completion.choices[0].finish_reason == "tool_calls"
    message = completion.choices[0].message
    assert message.tool_calls is not None and len(message.tool_calls) == 1
    call = message.tool_calls[0]
    assert isinstance(call.function.parsed_arguments, GetWeather)
    with client.chat.completions.stream(**request) as stream:
        stream.until_done()
        streamed = stream.get_final_completion().choices[0].message.tool_calls
    assert streamed is not None and streamed[0].function.arguments == call.function.arguments
    history = [
        *messages,
        {"role": "assistant", "tool_calls": [call.model_dump(exclude={"function": {"parsed_arguments"}})]},
        {"role": "tool", "tool_call_id": call.id, "content": '{"temperature": 21}'},
    ]
    last = client.chat.completions.create(**{**request, "messages": history, "tool_choice": "none"})
    assert last.choices[0].message.content and not last.choices[0].message.tool_calls


@show("responses: create, stream, chain, input items, delete")
def _() -> None:
    response = client.responses.create(**asked)
    assert response.output_text == answer
    assert response.status == "completed" and response.usage is not None
    assert response.usage.input_tokens + response.usage.output_tokens == response.usage.total_tokens
    with client.responses.stream(**asked) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == answer
    assert [e.sequence_number for e in events] == list(range(len(events)))
    assert final.output_text == answer
    following = client.responses.create(**{**asked, "input": "And of Italy?"}, previous_response_id=response.id)
    items = list(client.responses.input_items.list(following.id, order="asc"))
    assert len(items) == 3, items
    client.responses.delete(response.id)
    raises(openai.NotFoundError, lambda: client.responses.retrieve(response.id))


@show("responses in the background are cancelled; conversations remember")
def _() -> None:
    long = {**asked, "input": "Tell a long story.", "max_output_tokens": 2000}
    response = client.responses.create(**long, background=True)
    assert response.status in ("queued", "in_progress")
    assert client.responses.cancel(response.id).status == "cancelled"
    assert client.responses.retrieve(response.id).status == "cancelled"
    conversation = client.conversations.create(metadata={"topic": "cafés"})
    first = client.responses.create(**asked, conversation=conversation.id)
    second = client.responses.create(**{**asked, "input": "And of a park?"}, conversation=conversation.id)
    assert first.usage is not None and second.usage is not None
    assert second.usage.input_tokens > first.usage.total_tokens
    items = list(client.conversations.items.list(conversation.id, order="asc"))
    assert [item.role for item in items if item.type == "message"] == ["user", "assistant"] * 2
    assert client.conversations.retrieve(conversation.id).metadata == {"topic": "cafés"}
    assert client.conversations.delete(conversation.id).deleted


@show("responses parse with pydantic and call functions")
def _() -> None:
    parsed = client.responses.parse(
        **{**asked, "input": "Describe Paris as JSON.", "max_output_tokens": 200}, text_format=City
    )
    assert parsed.status == "completed" and isinstance(parsed.output_parsed, City)
    tool = openai.pydantic_function_tool(GetWeather, name="get_weather")["function"]
    called = client.responses.create(
        **{**asked, "input": "What is the weather in Paris?", "max_output_tokens": 200},
        tools=[{"type": "function", **tool}],
        tool_choice={"type": "function", "name": "get_weather"},
    )
    call = next(item for item in called.output if item.type == "function_call")
    GetWeather.model_validate(json.loads(call.arguments))


sys.exit(1 if failed else 0)
