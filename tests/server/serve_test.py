#!/usr/bin/env python3
"""`baltoro serve` as its clients meet it, on a small random model. Usage: serve_test.py BALTORO"""

import concurrent.futures
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from running_server import RunningServer, chat, content, eventually, make_tiny_model

BALTORO = sys.argv[1]
CANARY = "canary-d41d8cd98f"


def Server(model, *args, **kwargs):
    return RunningServer(BALTORO, model, *args, **kwargs)


class Serve(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp())
        cls.model = make_tiny_model(BALTORO, cls.directory, 32768)
        cls.server = Server(cls.model, "--parallel", 64, "--max-queue", 100, "--chunk", 128, "--ctx-size", 2048,
                            "--kv-tokens", 65536)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        log = cls.server.log()
        shutil.rmtree(cls.directory)
        assert CANARY not in log, "a prompt reached the log"

    # --- the dialects give the same answer

    def test_whole_and_streamed_chat_say_the_same(self):
        status, whole = self.server.post("/v1/chat/completions", chat(CANARY + " whole and streamed"))
        self.assertEqual(status, 200)
        self.assertEqual(whole["object"], "chat.completion")
        self.assertEqual(whole["choices"][0]["finish_reason"], "length")
        self.assertEqual(whole["usage"]["completion_tokens"], 24)
        events = self.server.stream("/v1/chat/completions",
                                    chat(CANARY + " whole and streamed", stream_options={"include_usage": True}))
        self.assertEqual(events[-1][1], "[DONE]")
        deltas = [e[1]["choices"][0]["delta"] for e in events[:-1] if e[1]["choices"]]
        self.assertEqual(deltas[0]["role"], "assistant")
        self.assertEqual("".join(d.get("content") or "" for d in deltas), content(whole))
        self.assertEqual(events[-2][1]["choices"], [])
        self.assertEqual(events[-2][1]["usage"]["completion_tokens"], 24)

    def test_all_dialects_write_the_same_text(self):
        text = "the four dialects"
        whole = content(self.server.post("/v1/chat/completions", chat(text, stop=["\u0000none"]))[1])
        status, message = self.server.post("/v1/messages", {
            "model": "any", "max_tokens": 24, "temperature": 0, "messages": [{"role": "user", "content": text}]})
        self.assertEqual(status, 200)
        answer = "".join(b["text"] for b in message["content"] if b["type"] == "text")
        self.assertTrue(whole.startswith(answer))
        status, response = self.server.post("/v1/responses", {
            "model": "any", "max_output_tokens": 24, "temperature": 0, "input": text})
        self.assertEqual(status, 200)
        answer = "".join(p["text"] for item in response["output"] if item["type"] == "message"
                         for p in item["content"])
        self.assertTrue(whole.startswith(answer))
        prompt = self.server.post("/apply-template", chat(text))[1]
        status, completion = self.server.post("/v1/completions", {
            "model": "any", "prompt": prompt["tokens"], "max_tokens": 24, "temperature": 0, "ignore_eos": True})
        self.assertEqual(status, 200)
        self.assertEqual(completion["choices"][0]["text"], whole)

    def test_streamed_messages_have_the_order_of_events_that_clients_need(self):
        events = self.server.stream("/v1/messages", {
            "model": "any", "max_tokens": 8, "messages": [{"role": "user", "content": "order"}]})
        names = [name for name, _ in events]
        self.assertEqual(names[0], "message_start")
        self.assertEqual(names[-2:], ["message_delta", "message_stop"])
        self.assertLess(names.index("content_block_start"), names.index("content_block_delta"))

    def test_streamed_responses_are_numbered_and_end_complete(self):
        events = self.server.stream("/v1/responses", {"model": "any", "max_output_tokens": 8, "input": "numbered"})
        self.assertEqual([e["sequence_number"] for _, e in events], list(range(len(events))))
        self.assertEqual([name for name, _ in events[:2]], ["response.created", "response.in_progress"])
        self.assertIn(events[-1][0], ("response.completed", "response.incomplete"))

    def test_count_tokens_is_what_a_message_costs(self):
        body = {"model": "any", "max_tokens": 1, "messages": [{"role": "user", "content": "count these"}]}
        counted = self.server.post("/v1/messages/count_tokens", body)[1]["input_tokens"]
        usage = self.server.post("/v1/messages", body)[1]["usage"]
        self.assertEqual(counted, usage["input_tokens"] + usage["cache_read_input_tokens"])

    def test_required_tools_are_called_and_none_leaves_no_marker(self):
        tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {
            "type": "object", "properties": {"city": {"type": "string"}}}}}]
        _, named = self.server.post("/v1/chat/completions", chat(
            "weather", tools=tools, tool_choice={"type": "function", "function": {"name": "get_weather"}},
            max_tokens=100))
        call = named["choices"][0]["message"]["tool_calls"][0]
        self.assertEqual(call["function"]["name"], "get_weather")
        self.assertEqual(call["id"], "functions.get_weather:0")
        _, none = self.server.post("/v1/chat/completions", chat("weather", tools=tools, tool_choice="none"))
        self.assertNotIn("tool_calls", none["choices"][0]["message"])
        self.assertNotIn("<|", content(none) or "")

    def test_prompts_are_scored_as_evaluation_harnesses_ask_for_it(self):
        """lm-evaluation-harness' local-completions: ids of several prompts, the last token_logprob is the answer's."""
        prompts = [self.server.post("/tokenize", {"content": text})[1]["tokens"]
                   for text in ("score this", "and this, which is longer, " + "too " * 60)]
        body = {"model": "any", "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True}
        status, reply = self.server.post("/v1/completions", {**body, "prompt": prompts})
        self.assertEqual(status, 200)
        for ids, choice in zip(prompts, reply["choices"]):
            figures = choice["logprobs"]
            for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
                self.assertEqual(len(figures[name]), len(ids) + 1, name)
            self.assertEqual((figures["token_logprobs"][0], figures["top_logprobs"][0]), (None, None))
            for token, logprob, top, offset in list(zip(*(figures[name] for name in (
                    "tokens", "token_logprobs", "top_logprobs", "text_offset"))))[1:-1]:
                self.assertEqual(top[token], logprob)
                self.assertTrue(choice["text"][offset:].startswith(token))
        # What was drawn has the same figures when it is part of a prompt.
        drawn = self.server.post("/v1/completions", {**body, "prompt": prompts[0], "max_tokens": 40, "temperature": 1,
                                                     "ignore_eos": True})[1]["choices"][0]
        scored = self.server.post("/v1/completions", {**body, "prompt": drawn["text"], "max_tokens": 0})[1]
        figures = scored["choices"][0]["logprobs"]
        self.assertEqual(scored["choices"][0]["text"], drawn["text"])
        self.assertEqual(scored["usage"]["completion_tokens"], 0)
        if figures["tokens"] == drawn["logprobs"]["tokens"]:  # random text may be cut into other tokens
            self.assertEqual(figures["token_logprobs"], drawn["logprobs"]["token_logprobs"])

    # --- determinism

    def test_64_streams_at_once_get_the_tokens_of_one_alone(self):
        bodies = [chat(f"stream {i} " + "word " * (i * 7 % 200), logprobs=True, seed=i, temperature=i % 2)
                  for i in range(64)]

        def tokens(body):
            reply = self.server.post("/v1/chat/completions", body)[1]
            return [t["bytes"] or t["token"] for t in reply["choices"][0]["logprobs"]["content"]]

        alone = [tokens(body) for body in bodies]
        n_files = lambda: len(os.listdir(f"/proc/{self.server.process.pid}/fd"))
        n_before = n_files()
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            together = list(pool.map(tokens, bodies))
        self.assertEqual(alone, together)
        self.server.wait_idle()
        self.assertTrue(eventually(lambda: n_files() <= n_before + 2), (n_before, n_files()))

    def test_a_cached_prefix_changes_nothing_but_the_time(self):
        history = [{"role": "user", "content": "cached " * 150}]
        body = {"model": "any", "max_tokens": 40, "temperature": 0, "ignore_eos": True, "messages": history}
        first = self.server.post("/v1/chat/completions", body)[1]
        history += [{"role": "assistant", "content": content(first)}, {"role": "user", "content": "go on"}]
        warm = self.server.post("/v1/chat/completions", body)[1]
        again = self.server.post("/v1/chat/completions", body)[1]
        self.assertGreaterEqual(warm["usage"]["prompt_tokens_details"]["cached_tokens"], 128)
        fresh = Server(self.model, "--chunk", 128, "--ctx-size", 2048)
        try:
            cold = fresh.post("/v1/chat/completions", body)[1]
        finally:
            fresh.stop()
        self.assertEqual(cold["usage"]["prompt_tokens_details"]["cached_tokens"], 0)
        self.assertEqual(content(cold), content(warm))
        self.assertEqual(content(cold), content(again))

    # --- clients that go away

    def test_disconnects_free_their_slots_and_leave_neighbours_alone(self):
        neighbour = chat("neighbour", max_tokens=200)
        expected = content(self.server.post("/v1/chat/completions", neighbour)[1])
        rng = random.Random(7)
        n_before = self.server.metric("generation_tokens_total")
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            results = [pool.submit(self.server.post, "/v1/chat/completions", neighbour) for _ in range(2)]
            for i in range(50):
                body = json.dumps(chat("gone " * rng.randrange(1, 250), max_tokens=1500, stream=bool(i % 2))).encode()
                with socket.create_connection(("127.0.0.1", self.server.port)) as sock:
                    sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                                 b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                    time.sleep(rng.random() * 0.03)
            for result in results:
                self.assertEqual(content(result.result()[1]), expected)
        self.server.wait_idle()
        n_written = self.server.metric("generation_tokens_total") - n_before
        self.assertLess(n_written, 50 * 1500 / 4)  # of what those who went had asked for

    def test_an_idle_server_sleeps(self):
        self.server.wait_idle()
        ticks = lambda: sum(map(int, pathlib.Path(f"/proc/{self.server.process.pid}/stat").read_text().split()[13:15]))

        def sleeps():
            before = ticks()
            time.sleep(2)
            return ticks() - before <= 3  # of 200 hundredths of a second

        self.assertTrue(eventually(sleeps))  # what other tests left may still be cleared away

    # --- what is refused

    def test_bad_requests_name_their_field(self):
        for path, body, param in (
                ("/v1/chat/completions", {"messages": "x"}, "messages"),
                ("/v1/chat/completions", chat("x", temperature="hot"), "temperature"),
                ("/v1/chat/completions", chat("x", n=1000), "n"),
                ("/v1/completions", {"prompt": {}}, "prompt"),
                ("/v1/responses", {"input": 3}, "input")):
            status, reply = self.server.post(path, body)
            self.assertEqual((status, reply["error"]["param"]), (400, param), path)
        status, reply = self.server.post("/v1/messages", {"max_tokens": 5, "messages": 3})
        self.assertEqual((status, reply["type"]), (400, "error"))
        status, reply = self.server.post("/v1/chat/completions", b"{")
        self.assertEqual(status, 400)

    def test_an_overflow_is_worded_for_each_family(self):
        status, reply = self.server.post("/v1/chat/completions", chat("x " * 4000))
        self.assertEqual((status, reply["error"]["code"]), (400, "context_length_exceeded"))
        self.assertIn("maximum context length is 2048 tokens", reply["error"]["message"])
        status, reply = self.server.post("/v1/messages", {
            "max_tokens": 5, "messages": [{"role": "user", "content": "x " * 4000}]})
        self.assertEqual(status, 400)
        self.assertRegex(reply["error"]["message"], r"^prompt is too long: \d+ tokens > 2048 maximum")

    def test_unknown_paths_and_methods(self):
        self.assertEqual(self.server.request("GET", "/nowhere")[0], 404)
        status, headers, _ = self.server.request("GET", "/v1/chat/completions")
        self.assertEqual((status, headers["allow"]), (405, "POST"))
        self.assertEqual(self.server.request("HEAD", "/")[0], 200)
        self.assertEqual(self.server.request("GET", "/health", headers={"Host": "evil.example"})[0], 403)
        self.assertEqual(self.server.request("GET", "/health", headers={"Origin": "http://evil.example"})[0], 403)
        self.assertEqual(self.server.request("POST", "/v1/chat/completions", b"{}",
                                             {"Content-Type": "text/plain"})[0], 415)

    def test_models_tokens_and_properties(self):
        models = json.loads(self.server.request("GET", "/v1/models")[2])
        self.assertEqual(models["data"][0]["id"], "k2-tiny")
        self.assertEqual(self.server.request("GET", "/v1/models/k2-tiny")[0], 200)
        self.assertEqual(self.server.request("GET", "/v1/models/other")[0], 404)
        text = "tokens <|im_end|> of text \u4f60\u597d"
        tokens = self.server.post("/tokenize", {"content": text})[1]["tokens"]
        self.assertEqual(self.server.post("/detokenize", {"tokens": tokens})[1]["content"], text)
        props = json.loads(self.server.request("GET", "/props")[2])
        self.assertEqual((props["total_slots"], props["n_ctx"]), (64, 2048))

    # --- starting and stopping

    def test_a_full_queue_says_when_to_come_again(self):
        server = Server(self.model, "--parallel", 1, "--max-queue", 2)
        ask = lambda text, **more: server.request("POST", "/v1/chat/completions", chat(text, **more))
        try:
            with socket.create_connection(("127.0.0.1", server.port)) as longest, \
                    concurrent.futures.ThreadPoolExecutor(2) as pool:
                body = json.dumps(chat("written for longer than this test takes", max_tokens=30000, stream=True)).encode()
                longest.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                self.assertTrue(eventually(lambda: server.metric("requests_running") == 1))
                waiting = [pool.submit(ask, f"{i}") for i in range(2)]
                self.assertTrue(eventually(lambda: server.metric("requests_waiting") == 2))
                for i in range(5):
                    status, headers, _ = ask("one too many")
                    self.assertEqual(status, 503)
                    self.assertGreaterEqual(int(headers["retry-after"]), 1)
                longest.close()
                self.assertEqual([reply.result()[0] for reply in waiting], [200, 200])
        finally:
            server.stop()

    def test_preemptions_are_counted_and_change_no_token(self):
        server = Server(self.model, "--parallel", 2, "--ctx-size", 1024, "--kv-tokens", 1024)
        bodies = [chat(f"{i} " + "page " * 50, max_tokens=600) for i in range(2)]
        try:
            alone = [content(server.post("/v1/chat/completions", body)[1]) for body in bodies]
            self.assertEqual(server.metric("preemptions_total"), 0)
            for _ in range(5):  # one may come when the other is nearly done
                with concurrent.futures.ThreadPoolExecutor(2) as pool:
                    together = list(pool.map(lambda body: content(server.post("/v1/chat/completions", body)[1]), bodies))
                self.assertEqual(alone, together)
                if server.metric("preemptions_total") > 0:
                    break
            self.assertGreater(server.metric("preemptions_total"), 0)
        finally:
            server.stop()

    def test_sigterm_lets_answers_finish(self):
        server = Server(self.model, "--ctx-size", 4096)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            results = [pool.submit(server.post, "/v1/chat/completions", chat(f"{i}", max_tokens=600))
                       for i in range(4)]
            while server.metric("requests_running") + sum(result.done() for result in results) < 4:
                time.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            for result in results:
                status, reply = result.result()
                self.assertEqual((status, reply["usage"]["completion_tokens"]), (200, 600))
        self.assertEqual(server.process.wait(30), 0)
        server.process.stderr.close()

    def test_a_second_signal_ends_it_at_once(self):
        server = Server(self.model)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: server.request("POST", "/v1/chat/completions", chat("long", max_tokens=30000)))
            while server.metric("requests_running") < 1:
                time.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            self.assertTrue(eventually(lambda: any("stopping" in line for line in server.lines)), server.log())
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(20), 128 + signal.SIGTERM)  # the answer would take longer
        server.process.stderr.close()

    def test_being_stopped_and_continued_does_not_end_it(self):
        server = Server(self.model)
        server.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, server.process.pid, os.WSTOPPED)
        server.process.send_signal(signal.SIGCONT)
        self.assertEqual([server.request("GET", "/health")[0] for _ in range(20)], [200] * 20)
        server.stop()
        self.assertEqual(len([line for line in server.lines if "stopping" in line]), 1, server.log())

    def test_options_come_from_the_environment_and_keys_are_asked_for(self):
        server = Server(self.model, "--log-format", "json", env={
            "BALTORO_API_KEY": "sesame", "BALTORO_ALIAS": "kimi-k2", "BALTORO_CTX_SIZE": "1024"})
        try:
            self.assertEqual(server.request("GET", "/v1/models")[0], 401)
            key = {"Authorization": "Bearer sesame"}
            models = json.loads(server.request("GET", "/v1/models", headers=key)[2])
            self.assertEqual(models["data"][0]["id"], "kimi-k2")
            self.assertEqual(models["data"][0]["context_length"], 1024)
            self.assertEqual(server.request("GET", "/health")[0], 200)
            server.request("POST", "/v1/chat/completions", chat("json log"), headers={"x-api-key": "sesame"})
        finally:
            server.stop()
        for line in server.lines:
            self.assertIsInstance(json.loads(line), dict, line)
        self.assertTrue(any(json.loads(line).get("prompt_tokens") for line in server.lines))

    def test_what_cannot_work_is_one_line(self):
        for args, says in ((["--model", self.directory / "none"], "none"),
                           (["--model", self.model, "--parallel", "200", "--chunk", "64"], "--parallel"),
                           (["--model", self.model, "--api-key-file", self.directory / "keys"], "keys")):
            result = subprocess.run([BALTORO, "serve", "--port", "0", *map(str, args)], capture_output=True, timeout=60)
            self.assertEqual(result.returncode, 1, result)
            errors = [line for line in result.stderr.decode().splitlines() if line.startswith("error:")]
            self.assertEqual(len(errors), 1)
            self.assertIn(says, errors[0])
        taken = socket.socket()
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = subprocess.run([BALTORO, "serve", "--model", str(self.model), "--port", str(taken.getsockname()[1])],
                                capture_output=True, timeout=60)
        taken.close()
        self.assertEqual(result.returncode, 1)
        self.assertIn("in use", result.stderr.decode())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
