#!/usr/bin/env python3
"""What many clients at once leave behind in `baltoro serve`, and what happens at its limits. On a small random model.
Usage: load_test.py BALTORO [SANITIZER]

Under a sanitizer memory is not looked at: its allocator keeps what was freed."""

import concurrent.futures
import os
import pathlib
import re
import shutil
import socket
import sys
import tempfile
import time
import unittest

from running_server import RunningServer, chat, content, eventually, make_tiny_model
from slow_clients import SlowClients, allow_open_files

BALTORO = sys.argv[1]
LOOKS_AT_MEMORY = sys.argv[2:] in ([], ["none"])
N_SLOW = 1000
FILES_FOR_SLOW = N_SLOW + 300  # the server keeps 256 for other things
HEAD_TIME_S, BODY_TIME_S = 10, 30  # the server's

# With one arena, what the allocator takes from the system does not depend on which thread served whom: it grows to the
# peak of a round and stays there, because the next round needs all of it again. A leak of 1 KB per stream or 100 bytes
# per connection shows.
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
ALLOWED_HEAP_KB = 256
# Resident memory still creeps within that heap, as other free pages of it are used than before.
ALLOWED_RSS_KB = 2048
N_ROUNDS = 6  # of which the last may have that much more than the first
# The peak of a round depends on who is served when. What grows because a later round had a higher one stops growing; a
# leak goes on.
MOST_ROUNDS = 15


class Process:
    """What the kernel says of a process."""

    def __init__(self, pid):
        self.directory = pathlib.Path(f"/proc/{pid}")

    def n_files(self):
        return len(os.listdir(self.directory / "fd"))

    def heap_kb(self):
        """What it may write to: the heap, stacks and what was allocated at the start."""
        return self.status_kb("VmData")

    def rss_kb(self):
        """Memory of its own; pages of the checkpoint's files come and go as the system likes."""
        return self.status_kb("RssAnon")

    def status_kb(self, name):
        return int(re.search(rf"{name}:\s*(\d+)", (self.directory / "status").read_text()).group(1))


class Load(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp())
        cls.model = make_tiny_model(BALTORO, cls.directory, 4096)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.directory)

    def start(self, *args, **kwargs):
        server = RunningServer(BALTORO, self.model, "--chunk", 128, "--ctx-size", 2048, "--quiet", *args, **kwargs)
        self.addCleanup(server.process.kill)
        return server, Process(server.process.pid)

    def check_memory(self, process, one_round):
        """That rounds come to need no more memory than the ones before."""
        heap_kb, rss_kb = [], []

        def has_settled():
            return (len(heap_kb) >= N_ROUNDS and heap_kb[-1] - heap_kb[-N_ROUNDS] <= ALLOWED_HEAP_KB
                    and rss_kb[-1] - rss_kb[-N_ROUNDS] <= ALLOWED_RSS_KB)

        for _ in range(MOST_ROUNDS if LOOKS_AT_MEMORY else N_ROUNDS):
            one_round()
            heap_kb.append(process.heap_kb())
            rss_kb.append(process.rss_kb())
            if has_settled():
                return
        if LOOKS_AT_MEMORY:
            self.fail(f"memory grows with every round: heap {heap_kb}, resident {rss_kb} KB")

    # --- what is left behind

    def test_64_streams_leave_nothing(self):
        server, process = self.start("--parallel", 64, "--max-queue", 64, "--kv-tokens", 65536, env=ONE_ARENA)
        n_files = process.n_files()  # nobody has connected yet
        bodies = [chat(f"stream {i} " + "word " * (i * 7 % 200), seed=i, temperature=i % 2) for i in range(64)]

        def one_round():
            with concurrent.futures.ThreadPoolExecutor(64) as pool:
                events = list(pool.map(lambda body: server.stream("/v1/chat/completions", body), bodies))
            self.assertTrue(all(stream[-1][1] == "[DONE]" for stream in events))
            server.wait_idle()
            self.assertTrue(eventually(lambda: process.n_files() == n_files), (n_files, process.n_files()))

        self.check_memory(process, one_round)  # the first rounds fill the prefix cache
        server.stop()

    def test_1000_connections_that_come_and_go_leave_nothing(self):
        if not allow_open_files(FILES_FOR_SLOW):
            self.skipTest("this process may not have enough open files")
        server, process = self.start(env=ONE_ARENA)
        n_files = process.n_files()  # nobody has connected yet

        def one_round():
            slow = SlowClients(server.port)
            slow.open(N_SLOW)
            slow.run(1.5)
            self.check_are_held(slow, process, n_files)
            self.assertEqual(slow.n_open(), N_SLOW)
            slow.close_all()
            self.assertTrue(eventually(lambda: process.n_files() == n_files), (n_files, process.n_files()))

        self.check_memory(process, one_round)
        server.stop()

    def check_are_held(self, slow, process, n_files):
        """That the server has as many more files as clients are open, once it has taken in all of them."""
        def are_held():
            slow.run(0.05)
            return process.n_files() >= n_files + slow.n_open()
        self.assertTrue(eventually(are_held), (n_files, process.n_files(), slow.n_open()))

    def test_1000_slow_connections_hinder_nobody_and_end_at_their_time_outs(self):
        if not allow_open_files(FILES_FOR_SLOW):
            self.skipTest("this process may not have enough open files")
        server, process = self.start()
        n_files = process.n_files()  # nobody has connected yet: a connection just ended may still count
        body = chat("a normal request")
        expected = content(server.post("/v1/chat/completions", body)[1])
        slow = SlowClients(server.port)
        while len(slow.clients) < N_SLOW:  # opened over five seconds
            slow.open(20)
            slow.run(0.1)
            if len(slow.clients) % 100 == 0:
                self.assertEqual(content(server.post("/v1/chat/completions", body)[1]), expected)
        self.check_are_held(slow, process, n_files)
        quarter = N_SLOW // 4
        outcomes = {("silent", None, True): quarter, ("head", 408, True): quarter, ("body", 408, True): quarter,
                    ("kept", 200, False): quarter}
        end = time.monotonic() + BODY_TIME_S + 30
        while slow.outcomes() != outcomes and time.monotonic() < end:
            slow.run(1)
            self.assertEqual(content(server.post("/v1/chat/completions", body)[1]), expected)
        self.assertEqual(dict(slow.outcomes()), outcomes)
        for client in slow.clients:
            if client.closed:
                time_out = BODY_TIME_S if client.kind == "body" else HEAD_TIME_S
                self.assertGreaterEqual(client.closed - client.opened, time_out - 0.1)
        slow.close_all()
        self.assertTrue(eventually(lambda: process.n_files() == n_files), (n_files, process.n_files()))
        server.stop()

    # --- limits

    def test_one_connection_too_many_gets_503_while_all_are_busy(self):
        server, _ = self.start("--max-connections", 3)
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        busy = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
        for sock in busy:
            sock.sendall(head)
        self.assertTrue(eventually(lambda: self.status_or_none(server) == 503))
        status, headers, _ = server.request("GET", "/health")
        self.assertEqual((status, headers["retry-after"]), (503, "1"))
        busy.pop().close()
        self.assertTrue(eventually(lambda: self.status_or_none(server) == 200))
        for sock in busy:
            sock.close()
        server.stop()

    @staticmethod
    def status_or_none(server):
        try:
            return server.request("GET", "/health")[0]
        except OSError:
            return None  # closed before it could say more

    def test_bodies_beyond_the_memory_for_all_get_503_or_413(self):
        server, _ = self.start("--body-memory", 1)

        def announce(n_bytes, timeout=20.0):
            sock = socket.create_connection(("127.0.0.1", server.port), timeout)
            sock.sendall(b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                         b"Content-Length: %d\r\n\r\n" % n_bytes)
            return sock

        def status_of_announcing(n_bytes, timeout=20.0):
            """None: the body may come."""
            with announce(n_bytes, timeout) as sock:
                try:
                    return int(sock.recv(100).split()[1])
                except TimeoutError:
                    return None

        def tokenize(n_letters):
            status, headers, _ = server.request("POST", "/tokenize", {"content": "z" * n_letters})
            return status, headers["retry-after"]

        holder = announce(1_000_000)
        holder.sendall(b"y" * 600_000)
        # Which is enough to have memory for all of it. Refused before a byte of the body is sent:
        self.assertTrue(eventually(lambda: status_of_announcing(50_000, 0.5) == 503))
        self.assertEqual(tokenize(500_000), (503, "1"))
        self.assertEqual(tokenize(100), (200, None))
        holder.close()
        self.assertTrue(eventually(lambda: tokenize(500_000) == (200, None)))
        self.assertEqual(status_of_announcing((1 << 20) + 1), 413)
        server.stop()

    def test_the_limit_of_open_files_is_raised_or_named(self):
        def start_with(soft_limit, hard_limit, *args):
            # A shell sets the limits, because they cannot be raised again: the hard one last, which cannot be lower
            # than the soft one.
            script = self.directory / f"limited_{soft_limit}_{hard_limit}"
            script.write_text(f'#!/bin/sh -e\nulimit -Sn {soft_limit}\nulimit -Hn {hard_limit}\nexec "{BALTORO}" "$@"\n')
            script.chmod(0o700)
            server = RunningServer(script, self.model, "--ctx-size", 2048, *args)
            self.addCleanup(server.process.kill)
            limits = pathlib.Path(f"/proc/{server.process.pid}/limits").read_text()
            found = re.search(r"Max open files\s+(\d+)\s+(\d+)", limits)
            server.stop()
            return found.groups(), server.log()

        limits, log = start_with(256, 2000)
        self.assertEqual(limits, ("2000", "2000"))
        self.assertNotIn("open files", log)
        limits, log = start_with(256, 400)
        self.assertEqual(limits, ("400", "400"))
        lines = [line for line in log.splitlines() if "open files" in line]
        self.assertEqual(len(lines), 1, log)
        self.assertIn("only 200 connections at once, not 1024", lines[0])
        limits, log = start_with(256, 400, "--max-connections", 100)
        self.assertNotIn("open files", log)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
