"""What the Python checks share. Addresses of the servers come in environment variables: MAIN_URL,
STRICT_URL (key "the-key", context of 2048, one model name), BUSY_URL (one answer at a time, no queue),
THINKING_URL (a model that thinks)."""

import json
import os
import re
import unittest
import urllib.error
import urllib.request

import openai

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


class LineResult(unittest.TestResult):
    """One line per check."""

    def __init__(self):
        super().__init__()
        self.failed = False

    def name_of(self, test):
        return "python " + re.sub(r"[^ ]*\.(\w+\.)", r"\1", test.id())

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
