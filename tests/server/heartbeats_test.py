#!/usr/bin/env python3
"""What keeps streaming clients alive through a long prefill: something at least every ten seconds, in the form that
each API's clients count as a sign of life. Usage: heartbeats_test.py BALTORO SCRIPTED_SERVER"""

import http.client
import json
import pathlib
import re
import shutil
import sys
import tempfile
import threading
import time
import unittest

from running_server import RunningServer, make_tiny_model

BALTORO, SCRIPTED_SERVER = sys.argv[1:3]
LONGEST_SILENCE_S = 10.0
MS_PER_TOKEN = 20
PROMPT_TOKENS = 700  # 14 s: two heartbeats, five seconds apart, and a rest for a busy machine
ANSWER = "It is done."
SCRIPT = [{"when": "slow prefill", "answer": ANSWER, "ms_per_prompt_token": MS_PER_TOKEN},
          {"when": "one more", "answer": ANSWER}]


class Stalls(threading.Thread):
    """Measures for how long at most the machine let this program stand still, and so the server beside it."""

    def __init__(self):
        super().__init__(daemon=True)
        self.longest_s, self.is_over = 0.0, threading.Event()
        self.start()

    def run(self):
        before = time.monotonic()
        while not self.is_over.wait(0.1):
            now = time.monotonic()
            self.longest_s = max(self.longest_s, now - before - 0.1)
            before = now


class Stream(threading.Thread):
    """A streamed request whose blocks are kept with the times at which they came."""

    def __init__(self, server, path, body):
        super().__init__(daemon=True)
        self.server, self.path, self.body = server, path, json.dumps({**body, "stream": True}).encode()
        self.status, self.blocks, self.times = None, [], []
        self.start()

    def run(self):
        self.times.append(time.monotonic())
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        connection.request("POST", self.path, self.body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        self.status = response.status
        self.times.append(time.monotonic())
        block = ""
        for raw in response:
            line = raw.decode()
            if line != "\n":
                block += line
                continue
            self.blocks.append(block)
            self.times.append(time.monotonic())
            block = ""
        connection.close()

    def longest_silence_s(self):
        return max(b - a for a, b in zip(self.times, self.times[1:]))

    def events(self):
        return [json.loads(block.split("data: ", 1)[1]) for block in self.blocks
                if "data: " in block and "[DONE]" not in block]


class Heartbeats(unittest.TestCase):
    """Each dialect has a server of its own, because prompts are read one after the other; all run at once."""

    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp())
        cls.model = make_tiny_model(BALTORO, cls.directory, 4096)
        script = cls.directory / "script.json"
        script.write_text(json.dumps(SCRIPT))
        cls.servers = [RunningServer(SCRIPTED_SERVER, cls.model, "--script", script, "--parallel", 1, "--chunk", 16,
                                     "--threads", 1) for _ in range(4)]
        prompt = cls.prompt_of(cls.servers[0])
        cls.stalls = Stalls()
        messages = [{"role": "user", "content": prompt}]
        chat, completion, response, message = cls.servers
        cls.chat = Stream(chat, "/v1/chat/completions", {"messages": messages})
        cls.completion = Stream(completion, "/v1/completions", {"prompt": prompt, "max_tokens": 20})
        cls.response = Stream(response, "/v1/responses", {"input": prompt})
        cls.message = Stream(message, "/v1/messages", {"max_tokens": 20, "messages": messages})
        while not chat.metric("requests_running"):
            time.sleep(0.01)
        cls.queued = Stream(chat, "/v1/chat/completions", {"messages": [{"role": "user", "content": "one more"}]})
        for stream in (cls.chat, cls.completion, cls.response, cls.message, cls.queued):
            stream.join(60)
        cls.stalls.is_over.set()

    @classmethod
    def tearDownClass(cls):
        for server in cls.servers:
            server.stop()
        shutil.rmtree(cls.directory)

    @staticmethod
    def prompt_of(server):
        words = "slow prefill" + " word" * 100
        n = len(server.post("/tokenize", {"content": words})[1]["tokens"])
        return words + " word" * ((PROMPT_TOKENS - n) * 100 // n)

    def check_lasted(self, stream):
        """That the reply came whole, that it took its time, and that it was never silent for long."""
        self.assertEqual(stream.status, 200)
        self.assertGreater(stream.times[-1] - stream.times[0], LONGEST_SILENCE_S)
        self.assertLess(stream.longest_silence_s(), LONGEST_SILENCE_S + self.stalls.longest_s)

    def check_prefill_comments(self, stream, pattern):
        comments = [re.fullmatch(pattern, block) for block in stream.blocks if block.startswith(":")]
        self.assertGreaterEqual(len(comments), 2, stream.blocks)
        self.assertTrue(all(comments), stream.blocks)
        return [tuple(map(int, comment.groups())) for comment in comments]

    def test_chat_completions_send_comments_that_show_the_prefill(self):
        self.check_lasted(self.chat)
        self.assertEqual(self.chat.events()[0]["choices"][0]["delta"]["role"], "assistant")
        progress = self.check_prefill_comments(self.chat, r": prefill (\d+)/(\d+)\n")
        self.assertEqual(progress, sorted(set(progress)))
        self.assertGreater(progress[0][0], 0)
        self.assertTrue(all(done <= whole for done, whole in progress))
        text = "".join(event["choices"][0]["delta"].get("content") or "" for event in self.chat.events())
        self.assertEqual(text, ANSWER)

    def test_a_waiting_request_is_kept_alive_too(self):
        self.check_lasted(self.queued)
        self.assertEqual({done for done, _ in self.check_prefill_comments(self.queued, r": prefill (\d+)/(\d+)\n")},
                         {0})

    def test_completions_send_comments(self):
        self.check_lasted(self.completion)
        progress = self.check_prefill_comments(self.completion, r": prefill (\d+)(?:/\d+)?\n")
        self.assertEqual(progress, sorted(set(progress)))

    def test_responses_send_in_progress_events(self):
        self.check_lasted(self.response)
        events = self.response.events()
        types = [event["type"] for event in events]
        self.assertEqual(types[0], "response.created")
        first_other = next(i for i, kind in enumerate(types[1:], 1) if kind != "response.in_progress")
        self.assertGreaterEqual(first_other - 1, 3, types)  # the first is no heartbeat
        self.assertEqual([event["sequence_number"] for event in events], list(range(len(events))))
        self.assertFalse([block for block in self.response.blocks if block.startswith(":")])
        self.assertIn(types[-1], ("response.completed", "response.incomplete"))

    def test_messages_ping(self):
        self.check_lasted(self.message)
        types = [event["type"] for event in self.message.events()]
        self.assertEqual(types[:2], ["message_start", "ping"])
        self.assertGreaterEqual(types.index("content_block_start") - 2, 2, types)
        self.assertEqual(set(types[1:types.index("content_block_start")]), {"ping"})
        self.assertEqual(types[-1], "message_stop")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
