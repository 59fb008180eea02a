#!/usr/bin/env python3
"""Weakens each ordering site of native/src/atomics.h in turn and demands that somebody notices.

    mutants.py [--build DIRECTORY] [SITE ...]

For each site a mutant is built with -DEDGE_WEAKEN=SITE. It has to fail under ThreadSanitizer or in
the plain stress test, or the Spin model with the same site weakened has to fail; or the site is
listed with the reason why nobody can. A site in atomics.h that is in neither list is an error.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

NATIVE = Path(__file__).resolve().parent.parent

# Which model has the site.
MODELLED = {
    **dict.fromkeys((1, 2, 4, 5, 6, 7, 8, 9, 10), "ring.pml"),
    **dict.fromkeys((12, 13, 14, 15, 23, 24), "wake.pml"),
}
# Sites that only ThreadSanitizer or the stress test can find.
TESTED = {16, 17, 22}
EXPLAINED = {
    3: "a reader comes to a slot only by way of head, and 1 and 2 carry the bytes; kept because it "
    "is free on x86-64 and one instruction on ARM, and says what is meant",
    11: "the place's lock is dropped after it by a system call, and the next owner takes it by one",
    18: "a hint for the writer's choice; what makes the choice safe is 4 to 7",
    19: "as 18",
    20: "a segment gets its name by a system call after its header is complete",
    25: "9 and 10 order it for a place that is new to the writer. Not for one that is taken again "
    "between the writer's look at the places and at the serial, a window too narrow for a test; it "
    "is kept for that",
    26: "as 25",
    21: "as 20; the header is read by a system call",
}


def sites() -> list[int]:
    text = (NATIVE / "src/atomics.h").read_text()
    return sorted({int(n) for n in re.findall(r"EDGE_ORDER\((\d+),", text)})


def build(directory: Path, site: int) -> Path:
    out = directory / f"tsan{site}"
    options = [f"-DEDGE_WEAKEN={site}", "-DEDGE_SANITIZE=thread"]
    configure = ["cmake", "-S", str(NATIVE), "-B", str(out), *options]
    targets = ["--target", "ring_threads_test", "bell_test"]
    for command in (configure, ["cmake", "--build", str(out), *targets]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return out / "tests"


def test_notices(directory: Path, site: int, rounds: int) -> str | None:
    binaries = build(directory, site)
    environment = {**os.environ, "EDGE_STRESS_MS": "2000"}
    for _ in range(rounds):
        for name in ("ring_threads_test", "bell_test"):
            try:
                done = subprocess.run(
                    [binaries / name], capture_output=True, env=environment, timeout=60, text=True
                )
            except subprocess.TimeoutExpired:
                return f"{name} hangs"
            if done.returncode != 0:
                race = "data race" in done.stderr
                return f"{name}: {'ThreadSanitizer' if race else 'fails'}"
    return None


def model_notices(site: int) -> bool:
    command = [str(NATIVE / "model/run.sh"), MODELLED[site], str(site)]
    return subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 1


def verdict(directory: Path, site: int, rounds: int, both: bool) -> tuple[bool, str]:
    if site in EXPLAINED:
        return True, f"explained: {EXPLAINED[site]}"
    found = []
    if site in MODELLED and model_notices(site):
        found.append(f"Spin: {MODELLED[site]}")
    if both or site in TESTED or not found:
        noticed = test_notices(directory, site, rounds)
        found += [noticed] if noticed else []
    return bool(found), "; ".join(found) or "NOBODY NOTICES"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, help="where to build (default: a temporary folder)")
    parser.add_argument("--rounds", type=int, default=20, help="runs of each test, at most")
    parser.add_argument("--both", action="store_true", help="run the tests where Spin noticed, too")
    parser.add_argument("site", nargs="*", type=int)
    arguments = parser.parse_args()
    unknown = set(sites()) - set(MODELLED) - TESTED - set(EXPLAINED)
    if unknown:
        print(f"sites without a verdict: {sorted(unknown)}", file=sys.stderr)
        return 1
    survivors = 0
    with tempfile.TemporaryDirectory() as temporary:
        directory = arguments.build or Path(temporary)
        if test_notices(directory, 0, 1):
            print("the tests fail without a mutation", file=sys.stderr)
            return 1
        for site in arguments.site or sites():
            caught, how = verdict(directory, site, arguments.rounds, arguments.both)
            survivors += not caught
            print(f"{site:3}  {how}", flush=True)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
