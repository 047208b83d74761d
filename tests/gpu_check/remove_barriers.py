#!/usr/bin/env python3
"""Removes every barrier and every wait for copies from the GPU kernels, one at a time, and says
which of these mistakes gpu_check finds on the emulator, by wrong results, and gpu_check_races, by
accesses to shared memory that nothing orders.

usage: remove_barriers.py BUILD_DIR [KERNEL.cuh ...]

The kernels are changed in place and restored; the build folder is one of meson's.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BARRIER = re.compile(r"^\s*(__syncthreads\(\)|__syncwarp\(.*\)|simt::async_wait<.*>\(\));$")
TIMEOUT_S = 300


CHECKS = {"results": ["gpu_check"], "races": ["gpu_check_races", "--device", "watched"]}


def passes(build_dir, command):
    """Whether the tests pass; a kernel without its barrier may also run for ever."""
    try:
        return subprocess.run([f"{build_dir}/tests/gpu_check/{command[0]}", *command[1:], "--abort-after=1"],
                              capture_output=True, timeout=TIMEOUT_S).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def found_by(build_dir):
    """Which of the checks fail with the kernels as they are."""
    targets = [f"tests/gpu_check/{command[0]}" for command in CHECKS.values()]
    build = subprocess.run(["ninja", "-C", build_dir, *targets], capture_output=True, text=True)
    if build.returncode != 0:
        raise SystemExit(build.stdout)
    return [name for name, command in CHECKS.items() if not passes(build_dir, command)]


def main():
    build_dir = sys.argv[1]
    names = set(sys.argv[2:])
    n_removed = 0
    n_found = dict.fromkeys(CHECKS, 0)
    for path in sorted((ROOT / "gpu_kernels").glob("*.cuh")):
        if names and path.name not in names:
            continue
        text = path.read_text()
        lines = text.split("\n")
        try:
            for i, line in enumerate(lines):
                if not BARRIER.match(line):
                    continue
                path.write_text("\n".join(lines[:i] + [""] + lines[i + 1:]))
                found = found_by(build_dir)
                n_removed += 1
                for name in found:
                    n_found[name] += 1
                print(f"{path.name}:{i + 1} {line.strip()} found by: {', '.join(found) or 'NONE'}", flush=True)
        finally:
            path.write_text(text)
    if found_by(build_dir):
        raise SystemExit("the kernels as they are fail")
    print(f"{n_removed} removed; found by " + ", ".join(f"{name}: {n}" for name, n in n_found.items()))


if __name__ == "__main__":
    main()
