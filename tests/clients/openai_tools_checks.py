"""The OpenAI SDK and LangChain: tools."""

import json

from checks import CLOCK, FRANCE, MAIN, MANY, MODEL, OpenAiCase, SUNNY, TOOL, said


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

    def test_ids_of_other_clients_in_the_history(self):
        call = {"type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
        for name in ("functions_get_weather_0", "toolu_01A", "get_weather:0"):
            messages = [*said("weather in Paris"), {"role": "assistant", "content": "", "tool_calls": [{**call, "id": name}]},
                        {"role": "tool", "tool_call_id": name, "content": "18 degrees"}]
            reply = self.client.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL])
            self.assertEqual(reply.choices[0].message.content, SUNNY, name)
            messages += [reply.choices[0].message, *said("weather in Paris")]
            again = self.client.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL])
            self.assert_paris(again.choices[0].message.tool_calls)

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
