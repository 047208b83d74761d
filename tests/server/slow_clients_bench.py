#!/usr/bin/env python3
"""What slow connections cost a normal request: its time to first token with and without them, measured in turn.
Exits with 1 if the bar is missed."""

import argparse
import http.client
import json
import pathlib
import random
import statistics
import subprocess
import sys
import time

from running_server import RunningServer, print_subject

BAR = 1.10  # at most, of the time without them
HERE = pathlib.Path(__file__).resolve().parent


def first_token_s(server, rng, n_words):
    """Seconds from sending a prompt that no cache knows to the first token of a streamed answer."""
    text = f"{rng.random()} " + " ".join(rng.choice(("ice", "rock", "snow", "wind")) for _ in range(n_words))
    body = json.dumps({"messages": [{"role": "user", "content": text}], "max_tokens": 2, "temperature": 0,
                       "ignore_eos": True, "stream": True})
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    begin = time.monotonic()
    connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        raise SystemExit(response.read().decode())
    for line in response:
        # The first event only names the role.
        if line.startswith(b"data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
            break
    seconds = time.monotonic() - begin
    response.read()
    connection.close()
    return seconds


class SlowClients:
    """The slow connections, in a process of their own; all are open when this returns."""

    def __init__(self, port, n, open_s):
        command = [sys.executable, HERE / "slow_clients.py", str(port), str(n), str(open_s)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def wait_until_open(self):
        if self.process.stdout.readline() != "open\n":
            raise SystemExit("the slow connections could not be opened")

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("baltoro", help="the program, of a release build")
    parser.add_argument("model", help="directory of the model")
    parser.add_argument("--connections", type=int, default=1000, help="slow ones; default 1000")
    parser.add_argument("--open-seconds", type=float, default=5.0, help="over which they are opened; default 5")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement; default 3")
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    parser.add_argument("--words", type=int, default=200, help="of each prompt; default 200")
    parser.add_argument("--seed", type=int, default=1, help="of the prompts; default 1")
    options = parser.parse_args()
    print_subject(options.baltoro, options.model)
    server = RunningServer(options.baltoro, options.model, "--quiet", "--ctx-size", 4096)
    rng = random.Random(options.seed)

    def measure(seconds):
        """The median time, and how many it is of."""
        end, times = time.monotonic() + seconds, []
        while time.monotonic() < end:
            times.append(first_token_s(server, rng, options.words))
        return statistics.median(times), len(times)

    ratios = []
    try:
        measure(options.seconds)  # weights in memory
        for _ in range(options.rounds):
            before, n = measure(options.seconds)
            slow = SlowClients(server.port, options.connections, options.open_seconds)
            opening, _ = measure(options.open_seconds)
            slow.wait_until_open()
            held, _ = measure(options.seconds)
            slow.close()
            time.sleep(1)
            after, _ = measure(options.seconds)
            alone = statistics.median((before, after))
            ratios.append(max(opening, held) / alone)
            print(f"  first token alone {1e3 * before:.1f} and {1e3 * after:.1f} ms, while {options.connections} "
                  f"connections are opened {1e3 * opening:.1f} ms and held {1e3 * held:.1f} ms "
                  f"(medians of {n} and more): {100 * ratios[-1]:.0f} %", flush=True)
    finally:
        server.stop()
    holds = statistics.median(ratios) <= BAR
    print(f"  with slow connections / alone: {statistics.median(ratios):.3f} (median of {len(ratios)}; "
          f"{min(ratios):.3f} to {max(ratios):.3f}), bar <= {BAR}: {'holds' if holds else 'MISSED'}")
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
