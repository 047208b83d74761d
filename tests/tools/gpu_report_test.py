#!/usr/bin/env python3
"""tools/gpu_report where it cannot do its work: it says so in one line. Usage: gpu_report_test.py SOURCE_ROOT"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(sys.argv.pop(1))


def run(programs, *arguments):
    """(exit status, stdout, stderr) with `programs`, name -> shell commands, first on the PATH."""
    with tempfile.TemporaryDirectory() as folder:
        for name, body in programs.items():
            path = pathlib.Path(folder) / name
            path.write_text(f"#!/bin/sh\n{body}\n")
            path.chmod(0o755)
        environment = dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}", CXX="some_compiler")
        done = subprocess.run([ROOT / "tools/gpu_report", *arguments], env=environment, capture_output=True,
                              text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr


class GpuReportTest(unittest.TestCase):
    def test_without_a_gpu_it_is_skipped(self):
        status, out, _ = run({"nvidia-smi": "exit 9"})
        self.assertEqual(status, 77)
        self.assertEqual(out, "skipped: no CUDA device (nvidia-smi shows no GPU 0)\n")

    def test_a_gpu_without_a_compiler_is_an_error_that_names_it(self):
        status, _, err = run({"nvidia-smi": "echo 9.0", "nvcc": "exit 1", "meson": "exit 1", "ninja": "exit 1"})
        self.assertEqual(status, 2)
        self.assertEqual(err, "gpu_report: some_compiler is not on the PATH\n")

    def test_missing_headers_are_an_error_that_says_how_to_bring_them(self):
        status, _, err = run({"nvidia-smi": "echo 9.0", "nvcc": "exit 1", "meson": "exit 1", "ninja": "exit 1",
                              "some_compiler": "exit 1"})
        self.assertEqual(status, 2)
        self.assertIn("--bundle", err)
        self.assertEqual(err.count("\n"), 1)

    def test_an_unknown_option_is_an_error(self):
        status, _, err = run({}, "--gpus")
        self.assertEqual(status, 2)
        self.assertIn("--gpus", err)


if __name__ == "__main__":
    unittest.main()
