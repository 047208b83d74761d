#!/usr/bin/env python3
"""What `cpu_check --bench` writes and refuses. Usage: bench_test.py CPU_CHECK"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

CPU_CHECK = sys.argv[1]
SMALL = ("--pool-mb", 64, "--samples", 1, "--pages", "4k")


def bench(*args):
    return subprocess.run([CPU_CHECK, "--bench", *map(str, args)], capture_output=True, text=True, timeout=100)


class Bench(unittest.TestCase):
    def refuses(self, *args, says):
        result = bench(*args)
        self.assertEqual(result.returncode, 2, result)
        self.assertEqual(result.stdout, "")
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertTrue(result.stderr.startswith("cpu_check: "), result.stderr)
        for text in says:
            self.assertIn(text, result.stderr)

    # --- results

    def test_json_is_a_list_of_figures_with_their_machine(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "bench.json"
            result = bench(*SMALL, "--json", path, "--isa", "scalar", "--threads", 1, "--op", "rows_product", "--rows", 1)
            self.assertEqual(result.returncode, 0, result)
            figures = json.loads(path.read_text())
        self.assertEqual(len(figures), 1)
        figure = figures[0]
        self.assertEqual((figure["op"], figure["isa"], figure["rows"], figure["pages"]), ("rows_product", "scalar", 1, "4k"))
        self.assertGreater(figure["us"], 0)
        self.assertAlmostEqual(figure["gb_s"], 7168 * 2048 / figure["us"] * 1e-3, delta=1e-6 * figure["gb_s"])
        self.assertAlmostEqual(figure["tflops"], 2e-3 * figure["gb_s"], delta=1e-6 * figure["gb_s"])
        machine = figure["machine"]
        self.assertEqual(set(machine), {"read_gb_s", "amx_tflops", "peak_tflops", "threads"})
        self.assertEqual(machine["threads"], 1)
        self.assertIsNone(machine["amx_tflops"])
        bound = max(1e-3 * 7168 * 2048 / machine["read_gb_s"], 2e-6 * 7168 * 2048 / machine["peak_tflops"])
        self.assertAlmostEqual(figure["percent_of_roofline"], 100 * bound / figure["us"], delta=1e-3)

    def test_rows_choose_the_measured_calls(self):
        result = bench(*SMALL, "--isa", "scalar", "--op", "product", "--rows", "2,1,40")
        self.assertEqual(result.returncode, 0, result)
        self.assertEqual([line.split()[3] for line in result.stdout.splitlines()], ["2", "1"])

    def test_the_transposed_product_reads_the_keys_of_all_heads(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "bench.json"
            result = bench(*SMALL, "--json", path, "--isa", "scalar", "--op", "transposed", "--rows", 3)
            self.assertEqual(result.returncode, 0, result)
            (figure,) = json.loads(path.read_text())
        self.assertEqual((figure["op"], figure["rows"]), ("transposed", 3))
        self.assertAlmostEqual(figure["gb_s"], 64 * 128 * 512 / figure["us"] * 1e-3, delta=1e-6 * figure["gb_s"])

    def test_help_names_every_option_and_measures_nothing(self):
        result = bench("--help")
        self.assertEqual(result.returncode, 0)
        for name in ("--json", "--isa", "--threads", "--pool-mb", "--samples", "--clock", "--op", "--rows", "--pages", "default"):
            self.assertIn(name, result.stdout)
        self.assertNotIn("roofline (", result.stdout)

    # --- refusals

    def test_refuses_an_unknown_option(self):
        self.refuses("--speed", 3, says=["--speed", "--help"])

    def test_refuses_an_option_without_its_value(self):
        self.refuses("--json", says=["--json", "value"])

    def test_refuses_an_unknown_level(self):
        self.refuses("--isa", "avx1024", says=["avx1024", "avx512_bf16"])

    def test_refuses_a_level_that_the_cpu_lacks(self):
        if "amx_bf16" in pathlib.Path("/proc/cpuinfo").read_text():
            self.skipTest("this CPU has every level")
        self.refuses("--isa", "amx", says=["does not run amx", "highest level"])

    def test_refuses_zero_threads(self):
        self.refuses("--threads", 0, says=["--threads", "from 1 to", "'0'"])

    def test_refuses_more_threads_than_cpus(self):
        n = len(os.sched_getaffinity(0)) + 1
        self.refuses("--threads", n, says=["--threads", f"to {n - 1}", f"'{n}'"])

    def test_refuses_a_number_that_is_none(self):
        for text in ("two", "2x", "", "1e3", "99999999999999999999"):
            with self.subTest(text=text):
                self.refuses("--samples", text, says=["--samples", f"'{text}'"])

    def test_refuses_more_rows_than_it_has_activations_for(self):
        self.refuses("--rows", "16,257", says=["--rows", "256", "'257'"])

    def test_refuses_zero_rows_and_an_empty_list(self):
        self.refuses("--rows", 0, says=["--rows", "'0'"])
        self.refuses("--rows", "1,", says=["--rows", "''"])

    def test_refuses_a_pool_without_room_for_weights(self):
        self.refuses("--pool-mb", 63, says=["--pool-mb", "64"])

    def test_refuses_a_pool_larger_than_the_memory(self):
        self.refuses("--pool-mb", 10**9, says=["--pool-mb"])

    def test_refuses_a_page_size_that_there_is_none_of(self):
        self.refuses("--pages", "1g", says=["--pages", "2m", "4k", "'1g'"])

    def test_refuses_an_unknown_clock(self):
        self.refuses("--clock", "sun", says=["--clock", "wall", "cpu", "'sun'"])

    def test_refuses_a_choice_that_leaves_nothing(self):
        self.refuses("--op", "quotient", says=["quotient"])
        self.refuses("--op", "rows_", "--rows", 17, says=["--rows"])

    def test_refuses_a_json_file_that_cannot_be_written(self):
        self.refuses("--json", "/nowhere/bench.json", says=["/nowhere/bench.json", "No such file"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
