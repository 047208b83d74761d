#!/usr/bin/env python3
"""Clients that hold connections and send a byte now and then. As a program: slow_clients.py PORT N SECONDS opens N of
them evenly over SECONDS, says "open", and keeps them until its standard input ends."""

import collections
import resource
import selectors
import socket
import sys
import time

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = HEAD + b"Content-Length: 100000\r\n\r\n"
KEPT = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"

# What each kind sends at once, and what it sends a byte of every TRICKLE_S seconds.
KINDS = {"silent": (b"", b""), "head": (HEAD, b"X-Slow: " + b"y" * 1000), "body": (BODY, b"{" * 1000),
         "kept": (KEPT, b"")}
TRICKLE_S = 1.0


class SlowClient:
    def __init__(self, kind, port):
        self.kind = kind
        self.first, self.rest = KINDS[kind]
        self.n_sent = 0
        self.reply = b""
        self.opened = time.monotonic()
        self.closed = None  # when the server closed the connection
        self.next_byte = self.opened + TRICKLE_S
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.socket.sendall(self.first)

    def trickle(self, now):
        if not self.rest or self.closed or now < self.next_byte:
            return
        self.next_byte += TRICKLE_S
        try:
            self.socket.send(self.rest[self.n_sent:self.n_sent + 1])
            self.n_sent += 1
        except OSError:
            pass  # what was read says why

    def read(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.reply += data
        return bool(data)

    def status(self):
        return int(self.reply.split()[1]) if self.reply else None


class SlowClients:
    """Any number of them in one thread: call run() now and then, or all the time."""

    def __init__(self, port):
        self.port = port
        self.clients = []
        self.selector = selectors.DefaultSelector()

    def open(self, n):
        """Opens `n`, of all kinds in turn."""
        for _ in range(n):
            client = SlowClient(list(KINDS)[len(self.clients) % len(KINDS)], self.port)
            self.clients.append(client)
            self.selector.register(client.socket, selectors.EVENT_READ, client)

    def run(self, seconds):
        end = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            for key, _ in self.selector.select(max(0.0, min(0.05, end - now))):
                if not key.data.read():
                    self.close(key.data)
                    key.data.closed = time.monotonic()
            for client in self.clients:
                client.trickle(now)
            if now >= end:
                return

    def close(self, client):
        if client.socket.fileno() >= 0:
            self.selector.unregister(client.socket)
            client.socket.close()

    def close_all(self):
        for client in self.clients:
            self.close(client)

    def n_open(self):
        return sum(client.closed is None for client in self.clients)

    def outcomes(self):
        """How many of each kind ended how: {(kind, status or None, whether the server closed it): n}"""
        return collections.Counter((c.kind, c.status(), c.closed is not None) for c in self.clients)


def allow_open_files(n):
    """Lets this process have as many open files as it may; whether those are at least n."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard >= n


def main():
    port, n, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    if not allow_open_files(n + 64):
        sys.exit(f"this process may not have {n + 64} open files")
    slow = SlowClients(port)
    begin = time.monotonic()
    while len(slow.clients) < n:
        due = min(n, 1 + int((time.monotonic() - begin) / seconds * n)) if seconds else n
        slow.open(due - len(slow.clients))
        slow.run(0.01)
    print("open", flush=True)
    ends = selectors.DefaultSelector()
    ends.register(sys.stdin, selectors.EVENT_READ)
    while not ends.select(0):
        slow.run(0.2)
    print(dict(slow.outcomes()), flush=True)


if __name__ == "__main__":
    main()
