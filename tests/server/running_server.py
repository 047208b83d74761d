"""A server for checks and benchmarks to talk to."""

import http.client
import json
import os
import re
import signal
import subprocess
import threading
import time


class RunningServer:
    """A running `baltoro serve` on a free port; its standard error is kept."""

    def __init__(self, baltoro, model, *args, env=None, wait=True):
        command = [baltoro, "serve", "--model", str(model), "--port", "0", *map(str, args)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, **(env or {})})
        self.lines = []
        self.port = None
        self.ready = threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if wait and not self.ready.wait(60):
            raise AssertionError("the server did not get ready: " + self.log())

    def read(self):
        for raw in self.process.stderr:
            line = raw.decode(errors="replace").rstrip("\n")
            self.lines.append(line)
            found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found.group(1))
            if "listening on" in line:
                self.ready.set()
        self.ready.set()

    def log(self):
        return "\n".join(self.lines)

    def request(self, method, path, body=None, headers=None, timeout=120):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        data = None if body is None else (body if isinstance(body, bytes) else json.dumps(body).encode())
        all_headers = {"Content-Type": "application/json"} if data is not None else {}
        all_headers.update(headers or {})
        connection.request(method, path, data, all_headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        return response.status, response.headers, text  # names in any case

    def post(self, path, body, **kwargs):
        status, _, text = self.request("POST", path, body, **kwargs)
        return status, json.loads(text)

    def stream(self, path, body):
        """The events of a streamed reply as a list of (event name or None, parsed data or text)."""
        status, headers, text = self.request("POST", path, {**body, "stream": True})
        assert status == 200, text
        assert headers["Content-Type"] == "text/event-stream", headers
        events = []
        for block in text.decode().split("\n\n"):
            name, data = None, []
            for line in block.split("\n"):
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    data.append(line[6:])
            if data:
                joined = "\n".join(data)
                events.append((name, joined if joined == "[DONE]" else json.loads(joined)))
        return events

    def metric(self, name):
        text = self.request("GET", "/metrics")[2].decode()
        return float(re.search(rf"^baltoro_{name} (\S+)$", text, re.M).group(1))

    def wait_idle(self, timeout=30):
        end = time.monotonic() + timeout
        while self.metric("requests_running") or self.metric("requests_waiting"):
            if time.monotonic() > end:
                raise AssertionError("answers are still being written")
            time.sleep(0.02)

    def stop(self, expected=0):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(40)
        self.reader.join(10)
        self.process.stderr.close()
        assert code == expected, (code, self.log())
