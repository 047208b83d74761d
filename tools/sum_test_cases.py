#!/usr/bin/env python3
"""Adds up the test cases that the last `meson test` of each build folder ran: doctest's own counts, and
one case for a test that is not a doctest binary. Prints "N passed, N failed, N skipped"; exits 1 if
any failed or none ran. Usage: sum_test_cases.py BUILD_DIR..."""

import json
import pathlib
import re
import sys

DOCTEST = re.compile(r"\[doctest\] test cases:\s*\d+ \|\s*(\d+) passed \|\s*(\d+) failed \|\s*(\d+) skipped")

UNITTEST = re.compile(r"^Ran (\d+) tests? in [\d.]+s\n\n(?:OK|FAILED)(?: \((.*)\))?", re.M)


def unittest_counts(match):
    """(passed, failed, skipped) of Python's unittest: "FAILED (failures=1, errors=2, skipped=3)"."""
    parts = dict(re.findall(r"(\w+)=(\d+)", match.group(2) or ""))
    failed = int(parts.get("failures", 0)) + int(parts.get("errors", 0))
    skipped = int(parts.get("skipped", 0))
    return int(match.group(1)) - failed - skipped, failed, skipped


def counts_of(entry):
    """(passed, failed, skipped) of one test of a meson log."""
    match = DOCTEST.search(entry.get("stdout", ""))
    went_well = entry["result"] in ("OK", "EXPECTEDFAIL")
    if match is None:
        by_unittest = UNITTEST.search(entry.get("stderr", "") + entry.get("stdout", ""))
        if by_unittest:
            return unittest_counts(by_unittest)
        if entry["result"] == "SKIP":
            return 0, 0, 1
        return (1, 0, 0) if went_well else (0, 1, 0)
    passed, failed, skipped = (int(n) for n in match.groups())
    # A crash or sanitizer report after the summary is a failure too.
    return passed, failed if went_well else max(failed, 1), skipped


def main():
    total = [0, 0, 0]
    for build in sys.argv[1:]:
        log = pathlib.Path(build) / "meson-logs" / "testlog.json"
        for line in log.read_text().splitlines():
            entry = json.loads(line)
            counts = counts_of(entry)
            skipped_lines = re.findall(r"skipped: .*", entry.get("stdout", ""))
            for text in sorted(set(skipped_lines)):
                print(f"{entry['name']}: {text}")
            total = [a + b for a, b in zip(total, counts)]
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    sys.exit(1 if total[1] or not total[0] else 0)


if __name__ == "__main__":
    main()
