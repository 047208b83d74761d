#!/usr/bin/env python3
"""The executable as its users meet it. Usage: command_line_test.py BALTORO GOLDEN_DIR"""

import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

BALTORO = sys.argv[1]
GOLDEN = pathlib.Path(sys.argv[2])
SPEED = re.compile(rb"prefill \d+ tokens [\d.]+ tok/s, decode \d+ tokens [\d.]+ tok/s, [\d.]+ GB/token, "
                   rb"[\d.]+ GB/s = \d+ % of the [\d.]+ GB/s this machine reads\n$")


def run(*args, stdin=b"", timeout=120):
    return subprocess.run([BALTORO, *map(str, args)], input=stdin, capture_output=True, timeout=timeout)


class CommandLine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp())
        cls.model = cls.directory / "k2-tiny"
        made = run("make-model", "--shape", "k2-tiny", "--out", cls.model, "--seed", 5)
        assert made.returncode == 0, made.stderr

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.directory)

    def refuses(self, *args, says, stdin=b""):
        result = run(*args, stdin=stdin)
        self.assertEqual(result.returncode, 1, result)
        self.assertIn(says, (result.stderr + result.stdout).decode())

    # --- help and version

    def test_help_lists_every_subcommand_in_groups(self):
        text = run("--help").stdout.decode()
        for name in ("run", "serve", "bench", "eval", "tokenize", "render", "parse", "inspect", "make-model",
                     "Run a model", "Look inside"):
            self.assertIn(name, text)

    def test_every_subcommand_has_help_that_states_its_defaults(self):
        for name in ("run", "serve", "bench", "eval", "tokenize", "render", "parse", "inspect", "make-model"):
            result = run(name, "--help")
            self.assertEqual(result.returncode, 0)
            self.assertIn("default", result.stdout.decode())

    def test_version_names_commit_and_levels(self):
        text = run("--version").stdout.decode()
        self.assertRegex(text, r"baltoro \d+\.\d+\.\d+ \(commit \S+\)")
        self.assertIn("scalar avx2 avx512 avx512_bf16 amx", text)

    # --- run

    def test_run_answers_and_ends_with_the_speed_line(self):
        result = run("run", "--model", self.model, "--prompt", "Hi", "-n", 8, "--seed", 1)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stderr, SPEED)
        result.stdout.decode()   # whole code points only

    def test_greedy_and_seeded_answers_repeat(self):
        for options in (("--temperature", 0), ("--seed", 9), ("--seed", 9, "--top-k", 5, "--top-p", 0.9, "--min-p", 0.01)):
            args = ("run", "--model", self.model, "--prompt", "Hi", "-n", 16, *options)
            self.assertEqual(run(*args).stdout, run(*args).stdout)

    def test_threads_and_chunks_do_not_change_a_greedy_answer(self):
        args = ("run", "--model", self.model, "--prompt", "Hi there", "-n", 12, "--temperature", 0, "--isa", "scalar")
        expected = run(*args).stdout
        self.assertEqual(run(*args, "--threads", 3).stdout, expected)
        self.assertEqual(run(*args, "--chunk", 5).stdout, expected)

    def test_experts_are_mapped_or_copied_with_the_same_answer_and_a_line(self):
        args = ("run", "--model", self.model, "--prompt", "Hi there", "-n", 12, "--temperature", 0)
        mapped = run(*args, "--experts", "mapped")
        copied = run(*args, "--experts", "copied")
        self.assertEqual(copied.stdout, mapped.stdout)
        self.assertIn(b"experts: mapped where the checkpoint lies\n", mapped.stderr)
        self.assertRegex(copied.stderr, rb"experts: copied to 1 node, [\d.]+ GB, (2 MB pages|huge pages asked,) \d+ %")
        self.refuses(*args, "--experts", "nowhere", says="--experts")

    def test_auto_copies_to_several_nodes(self):
        machine = dict(os.environ, HWLOC_SYNTHETIC="numa:2 core:1 pu:1")
        result = subprocess.run([BALTORO, "run", "--model", self.model, "--prompt", "Hi", "-n", "4", "--seed", "1"],
                                capture_output=True, timeout=120, env=machine)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stderr, rb"experts: (copied to 2 nodes, |mapped .*, not copied to 2 nodes: that would need)")

    def test_more_threads_than_cpus_are_used_with_a_warning(self):
        args = ("run", "--model", self.model, "--prompt", "Hi", "-n", 4, "--temperature", 0, "--isa", "scalar")
        many = run(*args, "--threads", 4 * os.cpu_count())
        self.assertEqual(many.stdout, run(*args).stdout)
        self.assertRegex(many.stderr, rb"warning: --threads \d+: this process may use \d+ CPUs")

    def test_stats_hold_what_the_line_says(self):
        path = self.directory / "stats.json"
        run("run", "--model", self.model, "--prompt", "Hi", "-n", 5, "--seed", 1, "--stats", path)
        stats = json.loads(path.read_text())
        self.assertEqual(set(stats), {"prefill_tokens", "prefill_tok_s", "decode_tokens", "decode_tok_s", "bytes_per_token",
                                      "read_gb_s", "machine_read_gb_s", "percent_of_bandwidth", "load_s", "peak_rss_bytes"})
        self.assertLessEqual(stats["decode_tokens"], 4)
        self.assertGreater(stats["machine_read_gb_s"], 0)
        self.assertAlmostEqual(stats["read_gb_s"], stats["decode_tok_s"] * stats["bytes_per_token"] * 1e-9, places=6)

    def test_prompts_come_from_files_and_standard_input(self):
        path = self.directory / "prompt.txt"
        path.write_text("Hi")
        args = ("run", "--model", self.model, "-n", 6, "--temperature", 0)
        expected = run(*args, "--prompt", "Hi").stdout
        self.assertEqual(run(*args, "--prompt-file", path).stdout, expected)
        self.assertEqual(run(*args, "--prompt-file", "-", stdin=b"Hi").stdout, expected)

    def test_chat_reads_lines_when_no_prompt_is_given(self):
        result = run("run", "--model", self.model, "-n", 4, "--seed", 2, stdin=b"Hi\n/stats\n/clear\n/nonsense\nAgain\n")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(b"unknown command /nonsense", result.stderr)
        self.assertEqual(result.stderr.count(b"tok/s, decode"), 2)
        self.assertRegex(result.stderr, SPEED)

    def test_clear_forgets_the_conversation(self):
        args = ("run", "--model", self.model, "-n", 4, "--temperature", 0)
        first = run(*args, stdin=b"Hi\n").stdout
        self.assertEqual(run(*args, stdin=b"Hi\n/clear\nHi\n").stdout, first + first)
        self.assertNotEqual(run(*args, stdin=b"Hi\nHi\n").stdout, first + first)

    def test_ctrl_c_stops_the_answer_and_another_leaves(self):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(BALTORO, [BALTORO, "run", "--model", str(self.model), "--seed", "1", "--isa", "scalar", "--threads", "1"])
        seen = self.read_until(terminal, b"> ")
        os.write(terminal, b"Hi\n")
        self.read_for(terminal, 0.5)
        os.kill(pid, signal.SIGINT)
        seen = self.read_until(terminal, b"> ")
        self.assertIn(b"> ", seen)
        os.write(terminal, b"/stats\n")
        self.assertIn(b"tok/s", self.read_until(terminal, b"this machine reads"))
        self.read_until(terminal, b"> ")
        os.kill(pid, signal.SIGINT)
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
        self.assertEqual(os.waitstatus_to_exitcode(status), 130)

    unread = b""  # what a terminal gave past the text that was waited for

    def read_until(self, terminal, text, timeout=60):
        seen = self.unread
        end = time.monotonic() + timeout
        while text not in seen and time.monotonic() < end:
            if select.select([terminal], [], [], 0.2)[0]:
                seen += os.read(terminal, 65536)
        self.assertIn(text, seen)
        at = seen.index(text) + len(text)
        self.unread = seen[at:]  # a prompt may have come in the same read
        return seen[:at]

    def read_for(self, terminal, seconds):
        self.unread = b""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([terminal], [], [], 0.1)[0]:
                os.read(terminal, 65536)

    def test_bad_options_are_refused_with_their_name(self):
        base = ("run", "--model", self.model, "--prompt", "Hi")
        self.refuses(*base, "--isa", "sse9", says="sse9")
        self.refuses(*base, "--temperature", -1, says="temperature")
        self.refuses(*base, "--top-p", -0.1, says="top")
        self.refuses(*base, "--min-p", 2, says="min")
        self.refuses(*base, "--top-k", -3, says="top")
        self.refuses(*base, "--ctx-size", 10 ** 6, says="max_position_embeddings")
        self.refuses(*base, "--ctx-size", -1, says="--ctx-size")
        self.refuses(*base, "--device", "tpu", says="--device")
        self.refuses(*base, "--prompt-file", "x", says="--prompt")
        self.refuses(*base, "--wrong", says="--wrong")
        self.refuses("run", "--model", self.model, "--raw", says="--raw")
        self.refuses("run", "--prompt", "Hi", says="--model")
        self.refuses(says="subcommand")

    def test_a_prompt_longer_than_the_context_is_refused(self):
        self.refuses("run", "--model", self.model, "--prompt", "x" * 300, "--ctx-size", 64, says="the context holds 64")

    def test_bad_models_are_refused(self):
        self.refuses("run", "--model", self.directory / "nowhere", "--prompt", "Hi", says="nowhere/config.json")
        broken = self.directory / "broken"
        shutil.copytree(self.model, broken)
        next(broken.glob("*.safetensors")).unlink()
        self.refuses("run", "--model", broken, "--prompt", "Hi", says="safetensors")
        (broken / "tiktoken.model").unlink()
        self.refuses("tokenize", "--model", broken, "Hi", says="tiktoken.model")

    # --- eval

    def evaluate(self, name, *options):
        oracle = GOLDEN / "oracle" / name
        tokens = self.directory / f"{name}.json"
        tokens.write_text(json.dumps(json.loads((oracle / "expected.json").read_text())["tokens"][:40]))
        out = self.directory / f"{name}.safetensors"
        result = run("eval", "--model", oracle, "--tokens", tokens, "--out", out, *options)
        self.assertEqual(result.returncode, 0, result.stderr)
        data = out.read_bytes()
        size = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:8 + size])
        return {key: (value["dtype"], value["shape"], data[8 + size:][slice(*value["data_offsets"])])
                for key, value in header.items() if key != "__metadata__"}

    def test_eval_needs_no_tokenizer_and_writes_the_three_tensors(self):
        for options in ((), ("--chunk", 7), ("--reference",)):
            tensors = self.evaluate("k2-tiny", *options)
            self.assertEqual(tensors["logits"][:2], ("F32", [40, 600]))
            self.assertEqual(tensors["hidden"][:2], ("F32", [3, 40, 320]))
            self.assertEqual(tensors["routed_experts"][:2], ("I32", [2, 40, 4]))
            ids = struct.unpack(f"<{2 * 40 * 4}i", tensors["routed_experts"][2])
            for at in range(0, len(ids), 4):
                self.assertEqual(list(ids[at:at + 4]), sorted(ids[at:at + 4]))

    def test_eval_on_the_scalar_level_is_the_same_in_any_chunks(self):
        whole = self.evaluate("moonlight-tiny", "--isa", "scalar")["logits"][2]
        self.assertEqual(self.evaluate("moonlight-tiny", "--isa", "scalar", "--chunk", 3)["logits"][2], whole)

    def test_eval_refuses_bad_token_files(self):
        oracle = GOLDEN / "oracle" / "k2-tiny"
        for text, says in (("[1, 2", "JSON list"), ("{}", "JSON list"), ("[1, -1]", "index 1"), ("[1.5]", "index 0"),
                           ("[600]", "outside the vocabulary of 600"), ("[]", "no tokens"), ('["a"]', "index 0"),
                           (json.dumps([1] * 2049), "the context holds 2048")):
            path = self.directory / "tokens.json"
            path.write_text(text)
            self.refuses("eval", "--model", oracle, "--tokens", path, "--out", self.directory / "x", says=says)
        self.refuses("eval", "--model", oracle, says="--tokens")
        self.refuses("eval", "--model", oracle, "--tokens", self.directory, "--out", "x", says="directory")

    def test_perplexity_of_a_text(self):
        path = self.directory / "text.txt"
        path.write_text("The quick brown fox jumps over the lazy dog.")
        result = run("eval", "--model", self.model, "--text", path)
        self.assertEqual(result.returncode, 0, result.stderr)
        value = float(re.match(rb"perplexity ([\d.]+) over \d+ tokens", result.stdout)[1])
        self.assertGreater(value, 1)

    # --- tokenize, render, inspect, make-model

    def test_tokenize_goes_both_ways(self):
        text = "Hello, wörld! 你好\n"
        ids = run("tokenize", "--model", self.model, text).stdout.decode().strip()
        self.assertEqual(run("tokenize", "--model", self.model, "--ids", ids).stdout.decode(), text + "\n")
        self.assertEqual(run("tokenize", "--model", self.model, stdin=text.encode()).stdout.decode().strip(), ids)

    def test_special_tokens_only_where_asked_for(self):
        plain = run("tokenize", "--model", self.model, "<|im_end|>").stdout.decode().split(",")
        special = run("tokenize", "--model", self.model, "--special", "<|im_end|>").stdout.decode().split(",")
        self.assertGreater(len(plain), 1)
        self.assertEqual(len(special), 1)

    def test_tokenize_refuses_bad_ids(self):
        self.refuses("tokenize", "--model", self.model, "--ids", "1,,2", says="--ids")
        self.refuses("tokenize", "--model", self.model, "--ids", "99999", says="99999")

    def test_render_prints_the_exact_prompt(self):
        path = self.directory / "messages.json"
        path.write_text('[{"role": "user", "content": "Hi"}]')
        self.assertEqual(run("render", "--model", self.model, "--messages", path).stdout.decode(),
                         "<|im_system|>system<|im_middle|>You are Kimi, an AI assistant created by Moonshot AI.<|im_end|>\n"
                         "<|im_user|>user<|im_middle|>Hi<|im_end|><|im_assistant|>assistant<|im_middle|>")
        path.write_text('{"role": "user"}')
        self.refuses("render", "--model", self.model, "--messages", path, says="array")

    def parse(self, *chunks, options=()):
        result = run("parse", "--model", self.model, *options, stdin=json.dumps(chunks).encode())
        self.assertEqual((result.returncode, result.stdout.count(b"\n")), (0, 1), result.stderr)
        return json.loads(result.stdout)

    def test_parse_tells_content_reasoning_and_calls_apart_in_any_chunks(self):
        text = ('<think>Hm.</think>Ok [E] é <|tool_call_section_begin|><|tool_call_begin|>functions.a.b:0 '
                '<|tool_call_argument_begin|> {"x": "\\n<|"} <|tool_call_end|><|tool_calls_section_end|>!<|im_end|>')
        expected = {"content": "Ok [E] é !", "reasoning": "Hm.",
                    "calls": [{"id": "functions.a.b:0", "name": "a.b", "arguments": '{"x": "\\n<|"}'}]}
        for chunks in ([text], list(text), [text[at:at + 7] for at in range(0, len(text), 7)]):
            self.assertEqual(self.parse(*chunks), expected)
        self.assertEqual(self.parse("a <|tool_call_beg"),
                         {"content": "a <|tool_call_beg", "reasoning": None, "calls": []})
        self.assertEqual(self.parse(), {"content": "", "reasoning": None, "calls": []})

    def test_parse_finds_the_tool_of_a_call_without_a_name(self):
        path = self.directory / "tools.json"
        text = '<|tool_call_begin|>call_3<|tool_call_argument_begin|>{"path": 1}<|tool_call_end|>'
        schema = {"required": ["path"], "properties": {"path": {}}}
        self.assertEqual(self.parse(text)["calls"], [])
        for tool in ({"type": "function", "function": {"name": "Read", "parameters": schema}},
                     {"name": "Read", "parameters": schema},
                     {"name": "Read", "required": ["path"], "properties": ["path"]}):
            path.write_text(json.dumps([tool, {"type": "function", "function": {"name": "now"}}]))
            self.assertEqual(self.parse(text, options=("--tools", path))["calls"],
                             [{"id": "call_3", "name": "Read", "arguments": '{"path": 1}'}])

    def test_parse_starts_inside_reasoning_where_the_prompt_opened_it(self):
        self.assertEqual(self.parse("Hm.</think>Yes", options=("--thinking",))["content"], "Hm.Yes")
        k2_5 = self.directory / "k2-5"
        shutil.copytree(self.model, k2_5)
        config = json.loads((k2_5 / "config.json").read_text())
        (k2_5 / "config.json").write_text(json.dumps({"model_type": "kimi_k25", "text_config": config}))
        args = ("parse", "--model", k2_5)
        self.assertEqual(json.loads(run(*args, "--thinking", stdin=b'["Hm.</think>Yes"]').stdout),
                         {"content": "Yes", "reasoning": "Hm.", "calls": []})
        self.assertEqual(json.loads(run(*args, stdin=b'["Yes"]').stdout)["content"], "Yes")

    def test_parse_refuses_bad_input(self):
        args = ("parse", "--model", self.model)
        for stdin, says in ((b"", "standard input: not valid JSON"), (b'{"a": 1}', "JSON list of strings"),
                            (b'["a", 1]', "standard input[1]"), (b'["\xff"]', "UTF-8"), (b'"a"', "JSON list")):
            self.refuses(*args, stdin=stdin, says=says)
        path = self.directory / "tools.json"
        for text, says in (("{", "tools.json: not valid"), ("{}", "list of tool declarations"), ("[1]", "[0]: expected"),
                           ('[{"function": 1}]', "[0].function"), ('[{"type": "function"}]', "[0].name"),
                           ('[{"name": "a", "parameters": 1}]', "[0].parameters"),
                           ('[{"name": "a", "properties": [1]}]', "[0].properties")):
            path.write_text(text)
            self.refuses(*args, "--tools", path, stdin=b"[]", says=says)
        self.refuses(*args, "--tools", self.directory / "none.json", stdin=b"[]", says="none.json")

    def test_inspect_reports_sizes_and_exits_by_completeness(self):
        report = json.loads(run("inspect", "--model", self.model, "--json").stdout)
        self.assertTrue(report)
        self.assertEqual(run("inspect", "--model", self.model).returncode, 0)

    def test_a_full_or_closed_standard_output_is_an_error(self):
        for arguments in (["--version"], ["tokenize", "--model", self.model, "Hi"],
                          ["run", "--model", self.model, "--prompt", "Hi", "-n", "2"]):
            with open("/dev/full", "wb") as full:
                result = subprocess.run([BALTORO, *arguments], stdout=full, stderr=subprocess.PIPE, timeout=120)
            self.assertEqual(result.returncode, 1, arguments)
            self.assertIn(b"standard output", result.stderr)
            result = subprocess.run([BALTORO, *arguments], preexec_fn=lambda: os.close(1),
                                    stderr=subprocess.PIPE, timeout=120)
            self.assertEqual(result.returncode, 1, arguments)
            self.assertIn(b"standard output", result.stderr)

    def test_unwritable_figures_are_refused_before_the_answer(self):
        result = run("run", "--model", self.model, "--prompt", "Hi", "--stats", "/nonexistent/figures.json")
        self.assertEqual((result.returncode, result.stdout), (1, b""))
        self.assertIn(b"/nonexistent/figures.json", result.stderr)

    def test_an_output_never_replaces_a_fifo(self):
        tokens = self.directory / "two.json"
        tokens.write_text("[1, 2]")
        fifo = self.directory / "fifo.safetensors"
        os.mkfifo(fifo)
        self.refuses("eval", "--model", self.model, "--tokens", tokens, "--out", fifo, says="not a regular file")
        self.assertTrue(fifo.is_fifo())

    def test_a_thousand_threads_fit_into_memory(self):
        result = run("run", "--model", self.model, "--prompt", "Hi", "-n", "2", "--threads", "1000",
                     "--stats", self.directory / "many.json")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertLess(json.loads((self.directory / "many.json").read_text())["peak_rss_bytes"], 8e9)

    def test_make_model_refuses_what_it_cannot_do(self):
        self.refuses("make-model", "--shape", "k9", "--out", self.directory / "new", says="k2-mini")
        self.refuses("make-model", "--shape", "k2-tiny", "--out", self.model, says="empty")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"], verbosity=1)
