#!/usr/bin/env python3
"""`baltoro bench` as its users meet it. Usage: bench_command_test.py BALTORO"""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

BALTORO = sys.argv[1]


def run(*args):
    return subprocess.run([BALTORO, *map(str, args)], capture_output=True, timeout=120)


class BenchCommand(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.model = pathlib.Path(cls.directory.name) / "k2-tiny"
        made = run("make-model", "--shape", "k2-tiny", "--out", cls.model, "--seed", 5)
        assert made.returncode == 0, made.stderr

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def refuses(self, *args, says):
        result = run(*args)
        self.assertEqual(result.returncode, 1, result)
        self.assertIn(says, (result.stderr + result.stdout).decode())

    def test_bench_measures_every_length_at_every_depth(self):
        result = run("bench", "--model", self.model, "-p", "24,200", "-n", 5, "-d", "0,170", "-r", 3, "-o", "json")
        self.assertEqual(result.returncode, 0, result.stderr)
        lines = json.loads(result.stdout)
        self.assertEqual([(line["n_prompt"], line["n_gen"], line["n_depth"]) for line in lines],
                         [(24, 0, 0), (200, 0, 0), (0, 5, 0), (24, 0, 170), (200, 0, 170), (0, 5, 170)])
        for line in lines:
            n_tokens = line["n_prompt"] + line["n_gen"]
            self.assertEqual(len(line["samples_ns"]), 3)
            self.assertAlmostEqual(line["avg_ns"], sum(line["samples_ns"]) / 3, delta=2)
            for ns, rate in zip(line["samples_ns"], line["samples_ts"]):
                self.assertAlmostEqual(rate, n_tokens / (ns * 1e-9), delta=rate * 1e-4)
            self.assertGreater(line["machine_read_gb_s"], 0)
            read = line["avg_ts"] * line["bytes_per_token"] * 1e-9 if line["n_gen"] else 0
            self.assertAlmostEqual(line["read_gb_s"], read, delta=1e-6 + read * 1e-6)
        self.assertIn(b"context 370 tokens", result.stderr)  # as much as the tests take

    def test_bench_prints_a_table_and_the_build(self):
        result = run("bench", "--model", self.model, "-p", 0, "-n", 2, "-r", 1, "--no-warm-up")
        lines = result.stdout.decode().splitlines()
        self.assertEqual(lines[0].split("|")[1:7], [" model ", " size ", " params ", " backend ", " threads ", " test "])
        self.assertEqual(lines[2].split("|")[6], " tg2 ")
        self.assertRegex(lines[2], r"\| [\d.]+ ± 0\.00 \|")
        self.assertTrue(lines[4].startswith("build: "), lines)

    def test_bench_refuses_what_cannot_be_measured(self):
        self.refuses("bench", "--model", self.model, "-p", 0, "-n", 0, says="nothing to measure")
        self.refuses("bench", "--model", self.model, "-d", 100, "--ctx-size", 200, says="pp512 @ d100 needs 612 tokens")
        self.refuses("bench", "--model", self.model, "-p", 10**7, says="--ctx-size")
        self.refuses("bench", "--model", self.model, "-p", "12,x", says="--prompt-tokens")
        self.refuses("bench", "--model", self.model, "-r", 0, says="--repetitions")
        self.refuses("bench", "--model", self.model, "-o", "xml", says="--output")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"], verbosity=1)
