#!/usr/bin/env python3
"""What serving costs, on one model: one stream against `baltoro run`, four streams against one, and a second turn
whose prefix is cached against a cold prompt. Whatever is compared runs in turn. Exits with 1 if a bar is missed."""

import argparse
import concurrent.futures
import json
import pathlib
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from running_server import RunningServer, print_subject

ONE_STREAM_BAR = 0.97     # at least, of `baltoro run`
FOUR_STREAMS_BAR = 1.6    # at least, times one stream
SECOND_TURN_BAR = 0.10    # at most, of the cold time

WORDS = ("glacier moraine serac icefall col ridge summit camp rope axe crampon karabiner porter yak stone river "
         "bridge village valley cloud storm wind snow ice rock light dawn dusk map route").split()


def words(rng, n):
    return " ".join(rng.choice(WORDS) for _ in range(n))


def spread(values):
    return f"{statistics.median(values):.3f} (median of {len(values)}; {min(values):.3f} to {max(values):.3f})"


class Report:
    """Prints a figure beside its bar and remembers whether one was missed."""

    def __init__(self):
        self.missed = 0

    def add(self, what, ratios, bar, at_least):
        value = statistics.median(ratios)
        holds = value >= bar if at_least else value <= bar
        self.missed += not holds
        print(f"  {what}: {spread(ratios)}, bar {'>=' if at_least else '<='} {bar}: {'holds' if holds else 'MISSED'}",
              flush=True)


# --- streams

def run_speed(options):
    """Tokens per second of `baltoro run`, by its own figures."""
    with tempfile.NamedTemporaryFile(suffix=".json") as stats:
        subprocess.run([options.baltoro, "run", "--model", options.model, "--raw", "--prompt", "Hi", "--temperature",
                        "0", "-n", str(options.tokens), "--ctx-size", "4096", "--stats", stats.name],
                       check=True, capture_output=True)
        figures = json.loads(pathlib.Path(stats.name).read_text())
    if figures["decode_tokens"] < options.tokens - 1:
        raise SystemExit(f"the model stopped after {figures['decode_tokens']} tokens; choose another --tokens")
    return figures["decode_tok_s"]


def answer_s(server, prompt, n_tokens):
    """Seconds of a streamed answer, read without being parsed: the client's work is taken from the same cores."""
    body = json.dumps({"prompt": prompt, "max_tokens": n_tokens, "temperature": 0, "ignore_eos": True,
                       "stream": True}).encode()
    head = (f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n").encode()
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head + body)
        parts = []
        while part := connection.recv(1 << 16):
            parts.append(part)
    seconds = time.monotonic() - begin
    reply = b"".join(parts)
    if not reply.startswith(b"HTTP/1.1 200") or b"[DONE]" not in reply:
        raise SystemExit(reply.decode(errors="replace"))
    return seconds


def streams_speed(server, prompts, n_tokens):
    """Tokens per second of all streams together after their first tokens: what more tokens take beyond one each."""
    def all_s(n):
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(len(prompts)) as pool:
            list(pool.map(lambda prompt: answer_s(server, prompt, n), prompts))
        return time.monotonic() - begin

    first_s = min(all_s(1) for _ in range(3))
    return len(prompts) * (n_tokens - 1) / (all_s(n_tokens) - first_s)


def measure_streams(options, report):
    server = RunningServer(options.baltoro, options.model, "--ctx-size", 4096, "--parallel", 4, "--quiet")
    shares, gains = [], []
    print(f"decode, {options.tokens} tokens a stream, tok/s:")
    try:
        for _ in range(options.rounds):
            run = run_speed(options)
            one = streams_speed(server, ["Hi"], options.tokens)
            four = streams_speed(server, ["Hi", "Ho", "Up", "So"], options.tokens)
            shares.append(one / run)
            gains.append(four / one)
            print(f"  baltoro run {run:.2f}, one stream {one:.2f}, four streams {four:.2f}", flush=True)
    finally:
        server.stop()
    report.add("one stream / baltoro run", shares, ONE_STREAM_BAR, True)
    report.add("four streams / one", gains, FOUR_STREAMS_BAR, True)


# --- turns

def first_token(server, messages):
    """Seconds to a whole reply of one token, and the reply's timings."""
    begin = time.monotonic()
    status, reply = server.post("/v1/chat/completions", {
        "messages": messages, "max_tokens": 1, "temperature": 0, "ignore_eos": True})
    if status != 200:
        raise SystemExit(json.dumps(reply))
    return time.monotonic() - begin, reply["timings"]


def prompt_of(server, rng, n_tokens):
    """A user message that makes a prompt of about n_tokens and begins unlike any other."""
    text = f"{rng.random()} " + words(rng, 200)
    per_word = len(server.post("/tokenize", {"content": text})[1]["tokens"]) / len(text.split())
    return text + " " + words(rng, round(n_tokens / per_word) - len(text.split()))


def measure_turns(options, report):
    server = RunningServer(options.baltoro, options.model, "--ctx-size", 8192, "--chunk", options.chunk, "--quiet")
    rng = random.Random(options.seed)
    ratios = []
    print(f"second turn, prompts of about {options.prompt_tokens} tokens, answers of {options.answer_tokens}, "
          f"--chunk {options.chunk}:")
    try:
        first_token(server, [{"role": "user", "content": prompt_of(server, rng, 1024)}])  # weights in memory
        for i in range(options.rounds):
            # Lengths differ, because how much of a prefix is cached depends on where a prompt ends.
            n_tokens = options.prompt_tokens + 97 * (i - options.rounds // 2)
            messages = [{"role": "user", "content": prompt_of(server, rng, n_tokens)}]
            cold_s, cold = first_token(server, messages)
            reply = server.post("/v1/chat/completions", {
                "messages": messages, "max_tokens": options.answer_tokens, "temperature": 0, "ignore_eos": True})[1]
            messages.append({"role": "assistant", "content": reply["choices"][0]["message"]["content"] or ""})
            messages.append({"role": "user", "content": words(rng, options.follow_up_words)})
            warm_s, warm = first_token(server, messages)
            ratios.append(warm_s / cold_s)
            print(f"  cold {cold['prompt_n']} tokens {cold_s:.2f} s ({cold['prompt_n'] / cold_s:.0f} tok/s), second "
                  f"turn {warm['cache_n']} cached + {warm['prompt_n']} {warm_s:.2f} s: {100 * ratios[-1]:.1f} %",
                  flush=True)
    finally:
        server.stop()
    report.add("second turn / cold", ratios, SECOND_TURN_BAR, False)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("baltoro", help="the program, of a release build")
    parser.add_argument("model", help="directory of the model; the bars are meant for k2-mini")
    parser.add_argument("--only", choices=("streams", "turns"), help="measure one part")
    parser.add_argument("--rounds", type=int, default=5, help="repetitions of each figure; default 5")
    parser.add_argument("--tokens", type=int, default=200, help="of each stream; default 200")
    parser.add_argument("--prompt-tokens", type=int, default=4000, help="of the first turn; default 4000")
    parser.add_argument("--answer-tokens", type=int, default=64, help="of the first answer; default 64")
    parser.add_argument("--follow-up-words", type=int, default=16, help="of the second message; default 16")
    parser.add_argument("--chunk", type=int, default=512, help="most tokens of a prefill step; default 512")
    parser.add_argument("--seed", type=int, default=1, help="of the prompts' words; default 1")
    options = parser.parse_args()
    print_subject(options.baltoro, options.model)
    report = Report()
    if options.only != "turns":
        measure_streams(options, report)
    if options.only != "streams":
        measure_turns(options, report)
    sys.exit(1 if report.missed else 0)


if __name__ == "__main__":
    main()
