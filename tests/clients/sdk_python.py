"""Checks that the Python SDKs of OpenAI and Anthropic, and LangChain, run against the scripted server.
Addresses come in environment variables: MAIN_URL, STRICT_URL (key "the-key", context of 2048, one model
name), BUSY_URL (one answer at a time, no queue), THINKING_URL. One line per check: see run."""

import asyncio
import concurrent.futures
import json
import os
import re
import sys
import time
import unittest
import urllib.error
import urllib.request

import anthropic
import openai
import pydantic

MAIN, STRICT, BUSY, THINKING = (os.environ[n] for n in ("MAIN_URL", "STRICT_URL", "BUSY_URL", "THINKING_URL"))
MODEL = "kimi-k2"
FRANCE = "The capital of France is Paris."
MANY = "Größe, naïve — 日本語, Ελλάδα, 😀👩‍🚀 and the end."
SUNNY = "It is 18 degrees in Paris."
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "kelvin"]}},
    "required": ["city"],
}
TOOL = {"type": "function", "function": {"name": "get_weather", "description": "Now", "parameters": WEATHER}}
CLOCK = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}
RESPONSES_TOOL = {"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": False}
CLAUDE_TOOL = {"name": "get_weather", "description": "Now", "input_schema": WEATHER}


def said(text, **more):
    return [{"role": "user", "content": text, **more}]


def post(url, body, headers=None):
    """(status, headers, JSON) of a request that no SDK would send."""
    request = urllib.request.Request(url, data=body, headers={"content-type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, reply.headers, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.load(error)


class OpenAiCase(unittest.TestCase):
    def setUp(self):
        self.client = openai.OpenAI(base_url=MAIN + "/v1", api_key="x", timeout=60)

    def chat(self, text, **options):
        return self.client.chat.completions.create(model=MODEL, messages=said(text), **options)


class Chat(OpenAiCase):
    def test_chat(self):
        reply = self.chat("What is the capital of France?", max_tokens=100)
        choice = reply.choices[0]
        self.assertEqual((choice.message.content, choice.finish_reason), (FRANCE, "stop"))
        self.assertEqual((reply.object, reply.model, choice.message.role), ("chat.completion", MODEL, "assistant"))
        self.assertEqual(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens)
        self.assertGreater(reply.usage.completion_tokens, 3)

    def test_streamed_chat(self):
        chunks = list(self.chat("in many scripts", stream=True, stream_options={"include_usage": True}))
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        self.assertEqual(text, MANY)
        self.assertEqual(text, self.chat("in many scripts").choices[0].message.content)
        self.assertGreater(len(chunks), 5)
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertEqual([c.choices[0].finish_reason for c in chunks if c.choices][-1], "stop")
        self.assertEqual((chunks[-1].choices, len({c.id for c in chunks})), ([], 1))
        self.assertEqual(chunks[-1].usage.completion_tokens, self.chat("in many scripts").usage.completion_tokens)

    def test_content_in_parts_and_system_message(self):
        reply = self.client.chat.completions.create(model=MODEL, messages=[
            {"role": "system", "content": "Be brief."}, {"role": "developer", "content": [{"type": "text", "text": "x"}]},
            {"role": "user", "content": [{"type": "text", "text": "The capital "}, {"type": "text", "text": "of France?"}]}])
        self.assertEqual(reply.choices[0].message.content, FRANCE)

    def test_stop(self):
        choice = self.chat("count to ten", stop=[" 5", "never"]).choices[0]
        self.assertEqual((choice.message.content, choice.finish_reason), ("1 2 3 4", "stop"))

    def test_streamed_stop(self):
        chunks = list(self.chat("count to ten", stop="5 6", stream=True))
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks), "1 2 3 4 ")

    def test_length(self):
        reply = self.chat("count to ten", max_completion_tokens=4)
        self.assertEqual((reply.choices[0].finish_reason, reply.usage.completion_tokens), ("length", 4))
        self.assertTrue("1 2 3 4 5 6 7 8 9 10".startswith(reply.choices[0].message.content))

    def test_max_tokens_beyond_the_context_is_clamped(self):
        self.assertEqual(self.chat("capital of France", max_completion_tokens=10_000_000).choices[0].message.content, FRANCE)

    def test_cached_tokens_on_a_second_turn(self):
        first = said("What is the capital of France? " + "Think of all its cities. " * 40)
        reply = self.client.chat.completions.create(model=MODEL, messages=first)
        second = first + [{"role": "assistant", "content": reply.choices[0].message.content}] + said("count to ten")
        again = self.client.chat.completions.create(model=MODEL, messages=second)
        self.assertEqual(again.choices[0].message.content, "1 2 3 4 5 6 7 8 9 10")
        cached = again.usage.prompt_tokens_details.cached_tokens
        self.assertGreater(cached, reply.usage.prompt_tokens // 2)
        self.assertLess(cached, again.usage.prompt_tokens)

    def test_logprobs(self):
        reply = self.chat("capital of France", logprobs=True, top_logprobs=3)
        entries = reply.choices[0].logprobs.content
        self.assertEqual(b"".join(bytes(e.bytes) for e in entries).decode(), FRANCE)
        for entry in entries:
            self.assertAlmostEqual(entry.logprob, 0.0, places=3)
            self.assertEqual((len(entry.top_logprobs), entry.top_logprobs[0].token), (3, entry.token))

    def test_streamed_logprobs(self):
        chunks = list(self.chat("in many scripts", logprobs=True, stream=True))
        entries = [e for c in chunks if c.choices and c.choices[0].logprobs for e in c.choices[0].logprobs.content]
        self.assertEqual(b"".join(bytes(e.bytes) for e in entries).decode(), MANY)

    def test_several_choices(self):
        reply = self.chat("random letters", n=3, seed=7, temperature=1.0)
        texts = [c.message.content for c in reply.choices]
        self.assertEqual(([c.index for c in reply.choices], len(set(texts))), ([0, 1, 2], 3))

    def test_seed(self):
        def letters(seed):
            return self.chat("random letters", seed=seed, temperature=1.0).choices[0].message.content
        self.assertRegex(letters(1), "^[a-z]{24}$")
        self.assertEqual(letters(1), letters(1))
        self.assertNotEqual(letters(1), letters(2))
        self.assertEqual(self.chat("random letters", temperature=0).choices[0].message.content, "a" * 24)

    def test_logit_bias(self):
        letters = self.chat("random letters", temperature=0, logit_bias={str(i): -100 for i in (64, 65)})
        self.assertRegex(letters.choices[0].message.content, "^[b-z]{24}$")

    def test_json_schema(self):
        class Person(pydantic.BaseModel):
            name: str
            age: int
        reply = self.client.chat.completions.parse(model=MODEL, messages=said("Ada as an object"), response_format=Person)
        self.assertEqual(reply.choices[0].message.parsed, Person(name="Ada", age=36))

    def test_json_object(self):
        reply = self.chat("Ada as an object", response_format={"type": "json_object"})
        self.assertEqual(json.loads(reply.choices[0].message.content), {"name": "Ada", "age": 36})

    def test_unknown_fields_are_ignored(self):
        reply = self.chat("capital of France", user="u", metadata={"a": "b"}, store=False, extra_body={"foo": [1]})
        self.assertEqual(reply.choices[0].message.content, FRANCE)

    def test_many_at_once(self):
        async def stream(client, text):
            chunks = await client.chat.completions.create(model=MODEL, messages=said(text), stream=True)
            return "".join([c.choices[0].delta.content or "" async for c in chunks])

        async def all_streams():
            async with openai.AsyncOpenAI(base_url=MAIN + "/v1", api_key="x") as client:
                return await asyncio.gather(*[stream(client, t) for t in ["capital of France", "in many scripts"] * 6])
        self.assertEqual(asyncio.run(all_streams()), [FRANCE, MANY] * 6)

    def test_an_abandoned_stream_frees_its_slot(self):
        client = openai.OpenAI(base_url=BUSY + "/v1", api_key="x", timeout=60, max_retries=0)
        with client.chat.completions.create(model=MODEL, messages=said("very slowly"), stream=True) as stream:
            next(iter(stream))
        deadline = time.monotonic() + 2
        while True:
            try:
                reply = client.chat.completions.create(model=MODEL, messages=said("capital of France"))
                break
            except openai.InternalServerError:
                self.assertLess(time.monotonic(), deadline)
        self.assertEqual(reply.choices[0].message.content, FRANCE)

    def test_completions(self):
        reply = self.client.completions.create(model=MODEL, prompt="Once upon", max_tokens=60)
        self.assertEqual((reply.choices[0].text, reply.object), (" a time there was a server.", "text_completion"))

    def test_streamed_completions(self):
        chunks = list(self.client.completions.create(model=MODEL, prompt="Once upon", max_tokens=60, stream=True))
        self.assertEqual("".join(c.choices[0].text for c in chunks if c.choices), " a time there was a server.")

    def test_models(self):
        models = list(self.client.models.list())
        self.assertEqual(([m.id for m in models], models[0].object), ([MODEL], "model"))
        self.assertEqual(self.client.models.retrieve(MODEL).id, MODEL)

    def test_reasoning(self):
        client = openai.OpenAI(base_url=THINKING + "/v1", api_key="x")
        ask = {"model": MODEL, "messages": said("think about Paris")}
        reply = client.chat.completions.create(**ask)
        message = reply.choices[0].message
        self.assertEqual((message.content, message.reasoning_content), ("Paris it is.", "They ask about Paris."))
        self.assertGreater(reply.usage.completion_tokens_details.reasoning_tokens, 0)
        deltas = [c.choices[0].delta for c in client.chat.completions.create(**ask, stream=True)]
        self.assertEqual("".join(getattr(d, "reasoning_content", None) or "" for d in deltas), "They ask about Paris.")
        self.assertEqual("".join(d.content or "" for d in deltas), "Paris it is.")


class ChatTools(OpenAiCase):
    def assert_paris(self, calls, arguments={"city": "Paris", "unit": "celsius"}):
        self.assertEqual([(c.type, c.function.name, json.loads(c.function.arguments)) for c in calls],
                         [("function", "get_weather", arguments)])
        self.assertTrue(calls[0].id)

    def test_tool_loop(self):
        messages = said("What is the weather in Paris?")
        reply = self.client.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL])
        message = reply.choices[0].message
        self.assertEqual((reply.choices[0].finish_reason, message.content), ("tool_calls", "Let me look."))
        self.assert_paris(message.tool_calls)
        messages += [message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "18 degrees"}]
        reply = self.client.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL])
        self.assertEqual((reply.choices[0].message.content, reply.choices[0].finish_reason), (SUNNY, "stop"))

    def test_streamed_tool_loop(self):
        messages = said("What is the weather in Paris?")
        with self.client.chat.completions.stream(model=MODEL, messages=messages, tools=[TOOL]) as stream:
            for _ in stream:
                pass
            message = stream.get_final_completion().choices[0].message
        self.assertEqual(message.content, "Let me look.")
        self.assert_paris(message.tool_calls)
        call = message.tool_calls[0]
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [{"id": "call_abc", "type": "function", "function": {
                "name": call.function.name, "arguments": call.function.arguments}}]},
            {"role": "tool", "tool_call_id": "call_abc", "content": [{"type": "text", "text": "18 degrees"}]}]
        chunks = self.client.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL], stream=True)
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks), SUNNY)

    def test_streamed_call_deltas(self):
        chunks = list(self.chat("weather in two cities", tools=[TOOL], stream=True))
        deltas = [d for c in chunks for d in c.choices[0].delta.tool_calls or []]
        for index, city in enumerate(["Paris", "Rome"]):
            own = [d for d in deltas if d.index == index]
            self.assertEqual((own[0].function.name, own[0].type), ("get_weather", "function"))
            self.assertTrue(own[0].id)
            self.assertTrue(all(d.id is None and d.function.name is None for d in own[1:]))
            self.assertEqual(json.loads("".join(d.function.arguments or "" for d in own)), {"city": city})
        self.assertEqual(chunks[-1].choices[0].finish_reason, "tool_calls")
        self.assertEqual(len({d.id for d in deltas if d.id}), 2)

    def test_calls_have_different_ids(self):
        calls = self.chat("weather in two cities", tools=[TOOL]).choices[0].message.tool_calls
        self.assertEqual([json.loads(c.function.arguments)["city"] for c in calls], ["Paris", "Rome"])
        self.assertEqual(len({c.id for c in calls}), 2)

    def test_parallel_tool_calls_false(self):
        calls = self.chat("weather in two cities", tools=[TOOL], parallel_tool_calls=False).choices[0].message.tool_calls
        self.assert_paris(calls, {"city": "Paris"})

    def test_tool_choice_none(self):
        choice = self.chat("weather in Paris", tools=[TOOL], tool_choice="none", max_tokens=200).choices[0]
        self.assertFalse(choice.message.tool_calls)
        self.assertEqual((choice.finish_reason, choice.message.content), ("stop", "Let me look."))

    def test_tool_choice_required(self):
        choice = self.chat("weather in Paris", tools=[TOOL, CLOCK], tool_choice="required", max_tokens=200).choices[0]
        self.assert_paris(choice.message.tool_calls)
        self.assertFalse(choice.message.content)

    def test_tool_choice_named(self):
        named = {"type": "function", "function": {"name": "get_weather"}}
        choice = self.chat("weather in Paris", tools=[CLOCK, TOOL], tool_choice=named, max_tokens=200).choices[0]
        self.assert_paris(choice.message.tool_calls)

    def test_call_without_arguments(self):
        calls = self.chat("time, no arguments", tools=[CLOCK]).choices[0].message.tool_calls
        self.assertEqual([(c.function.name, c.function.arguments) for c in calls], [("get_time", "{}")])

    def test_call_cut_by_length(self):
        choice = self.chat("weather in two cities", tools=[TOOL], max_tokens=20).choices[0]
        self.assertEqual(choice.finish_reason, "length")
        self.assertNotIn("<|", str(choice.message.content))

    def test_langchain(self):
        from langchain_openai import ChatOpenAI
        model = ChatOpenAI(base_url=MAIN + "/v1", api_key="x", model=MODEL)
        self.assertEqual(model.invoke("capital of France").content, FRANCE)
        self.assertEqual("".join(c.content for c in model.stream("in many scripts")), MANY)
        calls = model.bind_tools([TOOL]).invoke("weather in Paris").tool_calls
        self.assertEqual([(c["name"], c["args"]["city"]) for c in calls], [("get_weather", "Paris")])
        schema = {"title": "Person", "type": "object", "required": ["name", "age"], "additionalProperties": False,
                  "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}
        ada = model.with_structured_output(schema, method="json_schema").invoke("Ada as an object")
        self.assertEqual(ada, {"name": "Ada", "age": 36})


class Responses(OpenAiCase):
    def test_create(self):
        reply = self.client.responses.create(model=MODEL, input="capital of France", instructions="Be brief.")
        self.assertEqual((reply.output_text, reply.status, reply.object), (FRANCE, "completed", "response"))
        self.assertEqual(reply.usage.total_tokens, reply.usage.input_tokens + reply.usage.output_tokens)

    def test_stream(self):
        events = list(self.client.responses.create(model=MODEL, input=said("in many scripts"), stream=True))
        self.assertEqual("".join(e.delta for e in events if e.type == "response.output_text.delta"), MANY)
        self.assertEqual([e.sequence_number for e in events], list(range(len(events))))
        self.assertEqual((events[0].type, events[-1].type), ("response.created", "response.completed"))
        self.assertEqual(events[-1].response.output_text, MANY)

    def test_tool_loop(self):
        items = said("weather in Paris")
        reply = self.client.responses.create(model=MODEL, input=items, tools=[RESPONSES_TOOL], store=False)
        call = next(item for item in reply.output if item.type == "function_call")
        self.assertEqual((call.name, json.loads(call.arguments)["city"]), ("get_weather", "Paris"))
        items += reply.output
        items.append({"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"})
        reply = self.client.responses.create(model=MODEL, input=items, tools=[RESPONSES_TOOL], store=False)
        self.assertEqual(reply.output_text, SUNNY)

    def test_streamed_tools(self):
        with self.client.responses.stream(model=MODEL, input="weather in two cities", tools=[RESPONSES_TOOL]) as stream:
            events = list(stream)
            final = stream.get_final_response()
        calls = [item for item in final.output if item.type == "function_call"]
        self.assertEqual([json.loads(c.arguments)["city"] for c in calls], ["Paris", "Rome"])
        for call in calls:
            own = [e.delta for e in events if e.type == "response.function_call_arguments.delta" and e.item_id == call.id]
            self.assertEqual("".join(own), call.arguments)

    def test_tool_choice_required(self):
        reply = self.client.responses.create(model=MODEL, input="weather in Paris", tools=[RESPONSES_TOOL],
                                             tool_choice="required")
        self.assertEqual([item.type for item in reply.output], ["function_call"])

    def test_parse(self):
        class Person(pydantic.BaseModel):
            name: str
            age: int
        reply = self.client.responses.parse(model=MODEL, input="Ada as an object", text_format=Person)
        self.assertEqual(reply.output_parsed, Person(name="Ada", age=36))

    def test_incomplete(self):
        reply = self.client.responses.create(model=MODEL, input="count to ten", max_output_tokens=16)
        self.assertEqual((reply.status, reply.incomplete_details.reason), ("incomplete", "max_output_tokens"))

    def test_state_is_refused(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.responses.create(model=MODEL, input="hello", previous_response_id="resp_1")
        self.assertEqual(caught.exception.param, "previous_response_id")

    def test_reasoning(self):
        client = openai.OpenAI(base_url=THINKING + "/v1", api_key="x")
        reply = client.responses.create(model=MODEL, input="think about Paris")
        self.assertEqual(([item.type for item in reply.output], reply.output_text), (["reasoning", "message"], "Paris it is."))


class Messages(unittest.TestCase):
    def setUp(self):
        self.client = anthropic.Anthropic(base_url=MAIN, api_key="x", timeout=60)
        self.beginning = {"model": MODEL, "max_tokens": 300}

    def create(self, text, **options):
        return self.client.messages.create(**self.beginning, messages=said(text), **options)

    def test_create(self):
        reply = self.create("capital of France", system="Be brief.")
        self.assertEqual([(b.type, b.text) for b in reply.content], [("text", FRANCE)])
        self.assertEqual((reply.type, reply.role, reply.stop_reason, reply.model), ("message", "assistant", "end_turn", MODEL))
        self.assertGreater(reply.usage.output_tokens, 3)

    def test_stream(self):
        with self.client.messages.stream(**self.beginning, messages=said("in many scripts")) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        self.assertEqual((text, final.content[0].text, final.stop_reason), (MANY, MANY, "end_turn"))
        self.assertEqual(final.usage.output_tokens, self.create("in many scripts").usage.output_tokens)

    def test_tool_loop(self):
        messages = said("weather in Paris")
        reply = self.client.messages.create(**self.beginning, messages=messages, tools=[CLAUDE_TOOL])
        self.assertEqual((reply.stop_reason, [b.type for b in reply.content]), ("tool_use", ["text", "tool_use"]))
        use = reply.content[1]
        self.assertEqual((use.name, use.input), ("get_weather", {"city": "Paris", "unit": "celsius"}))
        result = {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "18 degrees"}]}
        messages += [{"role": "assistant", "content": reply.content},
                     {"role": "user", "content": [result, {"type": "text", "text": "Well?"}]}]
        reply = self.client.messages.create(**self.beginning, messages=messages, tools=[CLAUDE_TOOL])
        self.assertEqual((reply.content[0].text, reply.stop_reason), (SUNNY, "end_turn"))

    def test_streamed_tools(self):
        with self.client.messages.stream(**self.beginning, messages=said("weather in two cities"), tools=[CLAUDE_TOOL]) as stream:
            events = list(stream)
            final = stream.get_final_message()
        self.assertEqual([(b.type, b.name, b.input) for b in final.content],
                         [("tool_use", "get_weather", {"city": "Paris"}), ("tool_use", "get_weather", {"city": "Rome"})])
        self.assertEqual(len({b.id for b in final.content}), 2)
        self.assertTrue(any(e.type == "input_json" for e in events))

    def test_tool_choices(self):
        for choice in ({"type": "any"}, {"type": "tool", "name": "get_weather"}):
            reply = self.create("weather in Paris", tools=[CLAUDE_TOOL], tool_choice=choice)
            self.assertEqual([(b.type, b.input["city"]) for b in reply.content], [("tool_use", "Paris")], choice)
        reply = self.create("weather in Paris", tools=[CLAUDE_TOOL], tool_choice={"type": "none"})
        self.assertEqual([(b.type, b.text) for b in reply.content], [("text", "Let me look.")])
        reply = self.create("weather in two cities", tools=[CLAUDE_TOOL],
                            tool_choice={"type": "auto", "disable_parallel_tool_use": True})
        self.assertEqual([b.input for b in reply.content], [{"city": "Paris"}])

    def test_stop_sequence(self):
        reply = self.create("count to ten", stop_sequences=["6"])
        self.assertEqual((reply.content[0].text, reply.stop_reason, reply.stop_sequence), ("1 2 3 4 5 ", "stop_sequence", "6"))

    def test_max_tokens(self):
        reply = self.client.messages.create(model=MODEL, max_tokens=3, messages=said("count to ten"))
        self.assertEqual((reply.stop_reason, reply.usage.output_tokens), ("max_tokens", 3))

    def test_count_tokens_is_what_is_used(self):
        ask = {"model": MODEL, "messages": said("weather in Paris, please. " * 20), "tools": [CLAUDE_TOOL], "system": "Be brief."}
        counted = self.client.messages.count_tokens(**ask).input_tokens
        first = self.client.messages.create(**ask, max_tokens=300).usage
        second = self.client.messages.create(**ask, max_tokens=300).usage
        for usage in (first, second):
            self.assertEqual(usage.input_tokens + (usage.cache_read_input_tokens or 0)
                             + (usage.cache_creation_input_tokens or 0), counted)
        self.assertGreater(second.cache_read_input_tokens, 64)

    def test_thinking(self):
        client = anthropic.Anthropic(base_url=THINKING, api_key="x")
        reply = client.messages.create(**self.beginning, messages=said("think about Paris"),
                                       thinking={"type": "enabled", "budget_tokens": 1024})
        self.assertEqual([b.type for b in reply.content], ["thinking", "text"])
        self.assertEqual((reply.content[0].thinking, reply.content[1].text), ("They ask about Paris.", "Paris it is."))
        self.assertTrue(reply.content[0].signature)
        again = [*said("think about Paris"), {"role": "assistant", "content": reply.content}, *said("capital of France")]
        self.assertEqual(client.messages.create(**self.beginning, messages=again).content[-1].text, FRANCE)

    def test_system_message_among_messages(self):
        reply = self.client.messages.create(**self.beginning, messages=[
            *said("capital of France"), {"role": "system", "content": "Agents: none."}])
        self.assertEqual(reply.content[0].text, FRANCE)

    def test_models(self):
        self.assertEqual([m.id for m in self.client.models.list()], [MODEL])
        self.assertEqual(self.client.models.retrieve(MODEL).type, "model")


class Errors(unittest.TestCase):
    def setUp(self):
        self.openai = openai.OpenAI(base_url=STRICT + "/v1", api_key="the-key", max_retries=0)
        self.anthropic = anthropic.Anthropic(base_url=STRICT, api_key="the-key", max_retries=0)
        self.ask = {"model": MODEL, "messages": said("capital of France")}

    def test_bad_values_name_their_field(self):
        for field, value in (("temperature", 9), ("top_p", -1), ("max_tokens", 0), ("n", 100000), ("top_logprobs", 99),
                             ("tool_choice", "sometimes"), ("response_format", {"type": "xml"}), ("stop", [""])):
            with self.subTest(field):
                with self.assertRaises(openai.BadRequestError) as caught:
                    self.openai.chat.completions.create(**self.ask, **{field: value})
                self.assertEqual(re.split(r"[.\[]", caught.exception.param)[0], field)
                self.assertEqual(caught.exception.type, "invalid_request_error")

    def test_openai_key(self):
        self.assertEqual(self.openai.chat.completions.create(**self.ask).choices[0].message.content, FRANCE)
        with self.assertRaises(openai.AuthenticationError):
            self.openai.with_options(api_key="wrong").chat.completions.create(**self.ask)
        with self.assertRaises(openai.AuthenticationError):
            self.openai.with_options(api_key="wrong").models.list()

    def test_anthropic_key(self):
        self.assertEqual(self.anthropic.messages.create(**self.ask, max_tokens=100).content[0].text, FRANCE)
        bearer = anthropic.Anthropic(base_url=STRICT, auth_token="the-key", api_key=None)
        self.assertEqual(bearer.messages.create(**self.ask, max_tokens=100).content[0].text, FRANCE)
        with self.assertRaises(anthropic.AuthenticationError) as caught:
            self.anthropic.with_options(api_key="wrong").messages.create(**self.ask, max_tokens=100)
        self.assertEqual(caught.exception.body["error"]["type"], "authentication_error")

    def test_unknown_model(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            self.openai.chat.completions.create(model="gpt-9", messages=said("hello"))
        self.assertEqual(caught.exception.code, "model_not_found")
        with self.assertRaises(openai.NotFoundError):
            self.openai.models.retrieve("gpt-9")
        with self.assertRaises(anthropic.NotFoundError):
            self.anthropic.messages.create(model="claude-9", max_tokens=10, messages=said("hello"))

    def test_unknown_path(self):
        with self.assertRaises(openai.NotFoundError):
            self.openai.embeddings.create(model=MODEL, input="hello")

    def test_openai_context_overflow(self):
        for ask in (lambda t: self.openai.chat.completions.create(model=MODEL, messages=said(t)),
                    lambda t: self.openai.chat.completions.create(model=MODEL, messages=said(t), stream=True),
                    lambda t: self.openai.responses.create(model=MODEL, input=t)):
            with self.assertRaises(openai.BadRequestError) as caught:
                ask("too long! " * 2000)
            self.assertEqual(caught.exception.code, "context_length_exceeded")
            self.assertRegex(caught.exception.message, r"maximum context length is 2048 tokens.*resulted in \d+ tokens")

    def test_anthropic_context_overflow(self):
        with self.assertRaises(anthropic.BadRequestError) as caught:
            self.anthropic.messages.create(model=MODEL, max_tokens=10, messages=said("too long! " * 2000))
        self.assertRegex(str(caught.exception), r"prompt is too long[^0-9]*(\d+)\s*tokens?\s*>\s*2048")

    def test_anthropic_bad_values(self):
        for field, value in (("temperature", 7.0), ("max_tokens", 0), ("tool_choice", {"type": "sometimes"}),
                             ("stop_sequences", [1]), ("tools", [{"input_schema": {}}]), ("system", 5)):
            with self.subTest(field):
                with self.assertRaises(anthropic.BadRequestError) as caught:
                    self.anthropic.messages.create(**self.ask, max_tokens=10, extra_body={field: value})
                self.assertEqual(caught.exception.body["error"]["type"], "invalid_request_error")
                self.assertIn(field, caught.exception.body["error"]["message"])

    def occupied(self, pool):
        """Makes the busy server write an answer of some seconds."""
        client = openai.OpenAI(base_url=BUSY + "/v1", api_key="x", max_retries=10)
        stream = client.chat.completions.create(model=MODEL, messages=said("very slowly"), stream=True)
        chunks = iter(stream)
        next(chunks)
        return pool.submit(lambda: [c for c in chunks])

    def test_busy_server_is_retried(self):
        for client in (openai.OpenAI(base_url=BUSY + "/v1", api_key="x", max_retries=10),
                       anthropic.Anthropic(base_url=BUSY, api_key="x", max_retries=10)):
            with concurrent.futures.ThreadPoolExecutor() as pool:
                slow = self.occupied(pool)
                with self.assertRaises((openai.APIStatusError, anthropic.APIStatusError)) as caught:
                    self.ask_once(client.with_options(max_retries=0))
                self.assertIn(caught.exception.status_code, (503, 529))
                self.assertRegex(caught.exception.response.headers["retry-after"], r"^\d+$")
                self.assertEqual(self.ask_once(client), FRANCE)
                slow.result(30)

    def ask_once(self, client):
        if isinstance(client, openai.OpenAI):
            return client.chat.completions.create(**self.ask).choices[0].message.content
        return client.messages.create(**self.ask, max_tokens=100).content[0].text

    def test_bodies_that_no_sdk_sends(self):
        good = {"model": MODEL, "messages": said("hello"), "max_tokens": 5}
        for path in ("/v1/chat/completions", "/v1/messages", "/v1/responses"):
            key = "input" if path.endswith("responses") else "messages"
            for body in (b"", b"{", b"[]", b"null", b"\xff", b'{"model": 1}', json.dumps({**good, key: 5}).encode(),
                         json.dumps({**good, key: [5]}).encode(), json.dumps({**good, key: [{"role": 1}]}).encode(),
                         json.dumps({**good, key: [{"role": "user", "content": {}}]}).encode(),
                         json.dumps({**good, key: good["messages"], "tools": {}}).encode(),
                         json.dumps({**good, key: good["messages"], "stream": "yes"}).encode(),
                         b"[" * 5000, json.dumps({**good, key: []}).encode()):
                with self.subTest(path=path, body=body[:80]):
                    status, _, reply = post(MAIN + path, body)
                    self.assertEqual(status, 400)
                    self.assertEqual(reply["error"]["type"], "invalid_request_error")
                    self.assertTrue(reply["error"]["message"])

    def test_foreign_pages_are_refused(self):
        body = json.dumps({"model": MODEL, "messages": said("hello")}).encode()
        for headers in ({"Origin": "https://example.com"}, {"Host": "example.com"}):
            self.assertEqual(post(MAIN + "/v1/chat/completions", body, headers)[0], 403)
        status, _, _ = post(MAIN + "/v1/chat/completions", body, {"content-type": "text/plain"})
        self.assertEqual(status, 415)


class LineResult(unittest.TestResult):
    """One line per check."""

    def __init__(self):
        super().__init__()
        self.failed = False

    def name_of(self, test):
        return "python " + re.sub(r"^.*__main__\.", "", test.id())

    def addSuccess(self, test):
        print("ok", self.name_of(test), flush=True)

    def report(self, test, error):
        self.failed = True
        print("FAILED", self.name_of(test), self._exc_info_to_string(error, test).replace("\n", "\n    "), flush=True)

    def addFailure(self, test, err):
        self.report(test, err)

    def addError(self, test, err):
        self.report(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.report(subtest, err)


if __name__ == "__main__":
    result = LineResult()
    loader = unittest.defaultTestLoader
    names = sys.argv[1:]
    suite = loader.loadTestsFromNames(names, sys.modules["__main__"]) if names else \
        loader.loadTestsFromModule(sys.modules["__main__"])
    suite.run(result)
    sys.exit(result.failed)
