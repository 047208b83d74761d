"""The Anthropic SDK."""

import unittest

import anthropic
import pydantic

from checks import CLAUDE_TOOL, FRANCE, MAIN, MANY, MODEL, SUNNY, THINKING, said


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

    def test_arguments_come_while_they_are_written(self):
        with self.client.messages.stream(**self.beginning, messages=said("weather, letter by letter"), tools=[CLAUDE_TOOL]) as stream:
            pieces = [event.partial_json for event in stream if event.type == "input_json"]
            final = stream.get_final_message()
        self.assertGreater(len(pieces), 3, pieces)
        self.assertEqual(final.content[0].input, {"city": "Paris, which is in France"})

    def test_half_a_value_is_none(self):
        with self.client.messages.stream(**self.beginning, messages=said("weather with a mistake"), tools=[CLAUDE_TOOL]) as stream:
            final = stream.get_final_message()
        self.assertEqual((final.content[0].input, final.stop_reason), ({"city": "Paris"}, "tool_use"))

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
        reply = client.messages.create(**self.beginning, messages=said("think about Paris"))
        self.assertEqual([(b.type, b.text) for b in reply.content], [("text", "Paris it is.")])
        again = [*said("think about Paris"), {"role": "assistant", "content": reply.content}, *said("capital of France")]
        self.assertEqual(client.messages.create(**self.beginning, messages=again).content[-1].text, FRANCE)

    def test_parse(self):
        class Person(pydantic.BaseModel):
            name: str
            age: int
        reply = self.client.messages.parse(**self.beginning, messages=said("Ada as an object"), output_format=Person)
        self.assertEqual(reply.parsed_output, Person(name="Ada", age=36))

    def test_system_message_among_messages(self):
        reply = self.client.messages.create(**self.beginning, messages=[
            *said("capital of France"), {"role": "system", "content": "Agents: none."}])
        self.assertEqual(reply.content[0].text, FRANCE)

    def test_models(self):
        self.assertEqual([m.id for m in self.client.models.list()], [MODEL])
        self.assertEqual(self.client.models.retrieve(MODEL).type, "model")
