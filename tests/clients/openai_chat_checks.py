"""The OpenAI SDK: chat and text completions, and models."""

import asyncio
import json
import time

import openai
import pydantic

from checks import BUSY, FRANCE, MAIN, MANY, MODEL, OpenAiCase, THINKING, post, said


class Chat(OpenAiCase):
    def test_chat(self):
        reply = self.chat("What is the capital of France?", max_tokens=100)
        choice = reply.choices[0]
        self.assertEqual((choice.message.content, choice.finish_reason), (FRANCE, "stop"))
        self.assertEqual((reply.object, reply.model, choice.message.role), ("chat.completion", MODEL, "assistant"))
        self.assertEqual(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens)
        self.assertGreater(reply.usage.completion_tokens, 3)

    def test_streamed_chat(self):
        chunks = list(self.chat("in many scripts, token by token", stream=True, stream_options={"include_usage": True}))
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

    def test_completions_of_several_prompts_of_ids(self):
        ids = post(MAIN + "/tokenize", json.dumps({"content": "Once upon"}).encode())[2]["tokens"]
        reply = self.client.completions.create(model=MODEL, prompt=[ids, ids], max_tokens=60, logprobs=1)
        self.assertEqual([(c.index, c.text) for c in reply.choices],
                         [(i, " a time there was a server.") for i in range(2)])
        self.assertEqual("".join(reply.choices[1].logprobs.tokens), reply.choices[1].text)

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
