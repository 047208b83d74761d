"""Both SDKs: errors, keys, a busy server, and bodies that no SDK sends."""

import concurrent.futures
import json
import re
import unittest

import anthropic
import openai

from checks import BUSY, FRANCE, MAIN, MODEL, STRICT, post, said


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
