"""A server for checks and benchmarks to talk to, and what they all need around it."""

import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time


def make_tiny_model(baltoro, directory, n_positions):
    """A small random model below `directory`, which allows that many positions."""
    model = directory / "k2-tiny"
    made = subprocess.run([baltoro, "make-model", "--shape", "k2-tiny", "--out", model], capture_output=True)
    assert made.returncode == 0, made.stderr
    config = model / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "max_position_embeddings": n_positions}))
    return model


def chat(text, **more):
    return {"model": "any", "messages": [{"role": "user", "content": text}], "max_tokens": 24, "temperature": 0,
            "ignore_eos": True, **more}


def content(reply):
    return reply["choices"][0]["message"]["content"]


def eventually(condition, seconds=20):
    """Whether the condition comes true; the machine may be busy with something else for a while."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def print_subject(baltoro, model):
    """What a benchmark measures, and on what machine."""
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    kib = int(re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1))
    version = subprocess.run([baltoro, "--version"], check=True, capture_output=True, text=True).stdout
    print(f"{len(os.sched_getaffinity(0))} cores of {cpu.group(1) if cpu else 'unknown'}, {kib / 2**20:.0f} GiB\n"
          f"model {model}\n{version.strip()}", flush=True)


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
