#!/usr/bin/env python3
"""Checks that #include lines follow the architecture: which folder may see which, which third-party
headers stay in which files, rooted paths, own header first. Usage: check_includes.py [SOURCE_ROOT]"""

import pathlib
import re
import sys

# Folder -> folders it may include from, besides itself. tools -> app -> server -> engine -> model -> ... -> base.
BELOW_MODEL = {"base", "numa", "weights", "device", "experts", "cpu_kernels"}
BELOW_ENGINE = BELOW_MODEL | {"model", "sampling", "text"} - {"experts"}
ALLOWED = {
    "base": set(),
    "numa": {"base"},
    "weights": {"base"},
    "text": {"base"},
    "sampling": {"base"},
    "cpu_kernels": {"base/float_formats.h", "base/result.h"},
    "gpu_kernels": {"base/float_formats.h"},
    "device": {"base", "numa", "cpu_kernels", "gpu_kernels"},
    "experts": {"base", "numa", "cpu_kernels", "weights"},
    "model": BELOW_MODEL,
    "engine": BELOW_ENGINE,
    "server": {"base", "text", "sampling", "engine"},
    "app": BELOW_ENGINE | {"engine", "server"},
    "tools": BELOW_ENGINE | {"engine", "server", "app", "tests/reference"},
    "tests": None,  # tests may include everything
}

# Third-party header prefix -> the files (or folders, ending in /) that may include it.
CONFINED = {
    "hwloc": ["src/numa/topology.cpp"],
    "boost/": ["src/server/", "tests/server/", "gpu_kernels/simt/fiber.cpp", "tests/cuda_runtime/kernel_table.cpp"],
    "oneapi/": ["src/device/", "src/training/"],
    "dnnl": ["src/device/", "src/training/"],
    "cuda": ["src/device/", "gpu_kernels/", "tests/gpu_check/bench/", "tests/cuda_runtime/"],
    "cublas": ["src/device/cublas_products.cpp", "tests/gpu_check/bench/cublas_rate.cpp"],
    "pcre2": ["src/text/pretokenizer.cpp", "tests/text/"],
    "CLI/": ["src/app/options.cpp"],
    "editline/": ["tools/chat.cpp"],
    "doctest/": ["tests/"],
    "nlohmann/": ["*.cpp", "src/server/json_fields.h", "src/weights/strict_json.h", "src/text/json_text.h", "tests/"],
}

# What files compiled for one instruction set may include: nothing that instantiates templates.
ISA_FOLDERS = re.compile(r"^cpu_kernels/(avx2|avx512|avx512_bf16|amx)/")
ISA_HEADERS = {"immintrin.h", "stdint.h", "stddef.h", "string.h", "cstdint", "cstddef", "cstring"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
STANDARD_ONLY_IN_TOOLS = {"iostream"}
NEVER = {"regex"}


def folder_of(path):
    """The architectural folder of a path below the root ("src/base/x.h" -> "base")."""
    parts = path.split("/")
    return parts[1] if parts[0] == "src" else parts[0]


def target_folder(include):
    if include.startswith("tests/reference/"):
        return "tests/reference"
    return include.split("/")[0]


def may_see(folder, include):
    allowed = ALLOWED[folder]
    if allowed is None:
        return True
    target = target_folder(include)
    return target == folder or target in allowed or include in allowed


def is_confined_here(path, places):
    for place in places:
        if place == "*.cpp" and path.endswith(".cpp"):
            return True
        if path == place or (place.endswith("/") and path.startswith(place)):
            return True
    return False


def problems_in(path, lines):
    folder = folder_of(path)
    is_isa = ISA_FOLDERS.match(path)
    seen = []
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        kind, include = match.groups()
        seen.append(include)
        where = f"{path}:{number}"
        if kind == '"':
            if include.startswith(".") or "/" not in include:
                yield f'{where}: "{include}" is not a rooted path'
            elif not may_see(folder, include):
                yield f'{where}: {folder} may not include "{include}"'
        if is_isa and kind == "<" and include not in ISA_HEADERS:
            yield f"{where}: files of one instruction set may not include <{include}>"
        for prefix, places in CONFINED.items():
            if kind == "<" and include.startswith(prefix) and not is_confined_here(path, places):
                yield f"{where}: <{include}> is confined to {', '.join(places)}"
        if include in NEVER:
            yield f"{where}: <{include}> is not used here"
        if include in STANDARD_ONLY_IN_TOOLS and folder not in ("tools", "tests") and path != "src/app/options.cpp":
            yield f"{where}: <{include}> is for tools"
    own = path.removeprefix("src/").removesuffix(".cpp") + ".h"
    if path.endswith(".cpp") and own in seen and seen[0] != own:
        yield f'{path}: "{own}" must be the first include'
    if path.endswith(".h") and "#pragma once" not in (line.strip() for line in lines):
        yield f"{path}: no #pragma once"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    files = [f for top in ("src", "cpu_kernels", "gpu_kernels", "tests", "tools") for f in sorted((root / top).rglob("*"))
             if f.suffix in (".h", ".cpp", ".cuh", ".cu")]
    if not files:
        sys.exit(f"{root}: no source files found")
    problems = []
    for file in files:
        problems += problems_in(file.relative_to(root).as_posix(), file.read_text().splitlines())
    print("\n".join(problems) if problems else f"{len(files)} files: includes follow the architecture")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
