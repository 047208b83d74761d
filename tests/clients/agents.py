"""Lets two command-line agents do a text turn and a tool loop that makes a file, against the scripted
server. $MAIN_URL is its address, $CLIENTS_NODE the folder of the packages. One line per check: see run."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

URL = os.environ["MAIN_URL"]
BIN = pathlib.Path(os.environ["CLIENTS_NODE"]) / "node_modules" / ".bin"
TIMEOUT_S = 60

CODEX_CONFIG = f"""
model = "kimi-k2"
model_provider = "local"
check_for_update_on_startup = false
[model_providers.local]
name = "local"
base_url = "{URL}/v1"
wire_api = "responses"
[analytics]
enabled = false
[feedback]
enabled = false
"""


def run(command, home, work, environment):
    """The agent's output; its own home, and nothing of the caller's settings."""
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "TERM": "dumb", "LANG": "C.UTF-8",
                   "DO_NOT_TRACK": "1", "NO_PROXY": "127.0.0.1", **environment}
    done = subprocess.run(command, cwd=work, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def ask_codex(text, home, work):
    config = home / ".codex"
    config.mkdir()
    (config / "config.toml").write_text(CODEX_CONFIG)
    output = run([BIN / "codex", "exec", "--skip-git-repo-check", "--json",
                  "--dangerously-bypass-approvals-and-sandbox", text], home, work, {"CODEX_HOME": str(config)})
    events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    items = [e["item"] for e in events if e["type"] == "item.completed"]
    return [item["text"] for item in items if item["type"] == "agent_message"][-1]


def ask_claude(text, home, work):
    output = run([BIN / "claude", "-p", text, "--output-format", "json", "--allowedTools", "Bash"], home, work, {
        "ANTHROPIC_BASE_URL": URL, "ANTHROPIC_AUTH_TOKEN": "x", "ANTHROPIC_MODEL": "kimi-k2",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_TELEMETRY": "1", "DISABLE_AUTOUPDATER": "1",
        "DISABLE_ERROR_REPORTING": "1"})
    result = json.loads(output)
    assert not result["is_error"], output[:2000]
    return result["result"]


def text_turn(name, ask, home, work):
    said = ask(f"Please say hello to {name}.", home, work)
    assert said == f"Hello {name}, this is the script.", said


def tool_loop(name, ask, home, work):
    said = ask(f"Please make a file with {name}.", home, work)
    assert said == f"The file of {name} is made.", said
    assert (work / "made.txt").read_text() == f"by {name}\n"


def main():
    failed = False
    for name, ask in (("codex", ask_codex), ("claude", ask_claude)):
        for check in (text_turn, tool_loop):
            label = f"agent {name} {check.__name__.replace('_', ' ')}"
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home, \
                    tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
                try:
                    check(name, ask, pathlib.Path(home), pathlib.Path(work))
                    print("ok", label, flush=True)
                except Exception as error:  # whatever goes wrong is the check's failure
                    failed = True
                    print("FAILED", label, f"{type(error).__name__}: {error}".replace("\n", "\n    "), flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
