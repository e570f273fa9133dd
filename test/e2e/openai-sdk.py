"""Asks a gateway through the official Python SDK; prints what came back as JSON. Arguments: base URL, fields as JSON."""

import asyncio
import json
import sys

import openai

base_url, fields = sys.argv[1], json.loads(sys.argv[2])
options = {"base_url": base_url, "api_key": "none", "max_retries": 0}


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def refusal(client, **changes):
    try:
        client.chat.completions.create(**{**fields[0], **changes})
    except openai.APIStatusError as error:
        return {"kind": type(error).__name__, "status": error.status_code, "code": error.code, "param": error.param}


async def ask_async(one):
    async with openai.AsyncOpenAI(**options) as client:
        whole, stream = await asyncio.gather(
            client.chat.completions.create(**one),
            client.chat.completions.create(**one, stream=True),
        )
        return [whole.choices[0].message.content, text_of([chunk async for chunk in stream])]


with openai.OpenAI(**options) as client:
    texts = []
    usages = []
    for one in fields:
        whole = client.chat.completions.create(**one)
        chunks = list(client.chat.completions.create(**one, stream=True, stream_options={"include_usage": True}))
        texts.append([whole.choices[0].message.content, text_of(chunks), *asyncio.run(ask_async(one))])
        usages.append([whole.usage.completion_tokens, chunks[-1].usage.completion_tokens])
    report = {
        "texts": texts,
        "usages": usages,
        "models": [model.id for model in client.models.list()],
        "long": refusal(client, max_tokens=10**6),
        "unknown": refusal(client, model="nobody"),
        "audio": refusal(client, modalities=["audio"]),
    }
print(json.dumps(report))
