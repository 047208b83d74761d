"""The OpenAI SDK: responses."""

import json

import openai
import pydantic

from checks import FRANCE, MANY, MODEL, OpenAiCase, RESPONSES_TOOL, SUNNY, THINKING, said


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
