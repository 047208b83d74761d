#!/usr/bin/env python3
"""Fails if an object compiled for one instruction set defines a symbol that the linker may share.

An inline function or template with external linkage becomes a weak (or unique) symbol in every
object that uses it, and the linker keeps any one of the copies: the copy compiled for AVX-512 may
then run on a CPU that has none. Usage: check_isa_objects.py ARCHIVE_OR_OBJECT...
"""

import subprocess
import sys

SHARED_TYPES = set("WwVvu")  # weak, weak object, unique global


def shared_symbols(path):
    listing = subprocess.run(["nm", "--defined-only", "-P", "-A", path],
                             check=True, capture_output=True, text=True).stdout
    # A line is "archive[object]: name type value size".
    symbols = (line.partition(": ") for line in listing.splitlines())
    parsed = [(where, rest.split()) for where, _, rest in symbols if rest]
    if not parsed:
        sys.exit(f"{path}: no symbols found")
    return [(where, fields[0]) for where, fields in parsed if fields[1] in SHARED_TYPES]


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    bad = [entry for path in sys.argv[1:] for entry in shared_symbols(path)]
    for where, name in bad:
        print(f"{where}: {name} may be linked for every CPU; give it internal linkage")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
