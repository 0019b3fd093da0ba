"""Stress the whole program: kills, failing writes, damaged and hostile files, wrong command lines.

    python -m benchmarks.stress kills --minutes 60

Each case is made by its number, so the same command goes on where it stopped; `--share 0/2` and
`1/2` share the cases of a part among two processes. Results are kept in runs/stress/PART.jsonl,
and `python -m benchmarks.stress table` prints what docs/RELIABILITY.md shows.
"""

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import stress_files, stress_processes
from benchmarks.stress_processes import Workshop
from tfmodels.report.tables import markdown_table

PARTS = stress_processes.PARTS | stress_files.PARTS


def main() -> None:
    """Run a part, or print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=[*PARTS, "table"])
    parser.add_argument("--count", type=int, help="cases, at most")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--share", default="0/1", help="which of how many shares of the cases")
    parser.add_argument("--out", type=Path, default=Path("runs/stress"))
    args = parser.parse_args()
    if args.part == "table":
        print(table(args.out))
        return
    _, most = PARTS[args.part]
    share, shares = map(int, args.share.split("/"))
    numbers = range(share, args.count or most, shares)
    failed = run_part(args.part, numbers, 60 * args.minutes, args.out)
    print(f"{args.part}: {failed} failed")


def run_part(part: str, numbers: Iterable[int], seconds: float, out: Path) -> int:
    """Run the cases that have no result yet, and return how many of all failed."""
    function, _ = PARTS[part]
    out.mkdir(parents=True, exist_ok=True)
    workshop = Workshop(out / "work")
    end = time.monotonic() + seconds
    for number in sorted(set(numbers) - {case["number"] for case in read(out, part)}):
        if time.monotonic() > end:
            break
        rng = np.random.default_rng([list(PARTS).index(part), number])
        what, fault = function(number, rng, workshop)
        print(f"{part} {number}: {fault or 'fine'}: {what}", flush=True)
        with (out / f"{part}.jsonl").open("a") as file:
            file.write(json.dumps({"number": number, "what": what, "fault": fault}) + "\n")
    return sum(bool(case["fault"]) for case in read(out, part))


def read(out: Path, part: str) -> list[dict[str, Any]]:
    """Return the results of a part so far."""
    path = out / f"{part}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(out: Path) -> str:
    """Return how many cases of each part there were, and how many failed, in Markdown."""
    rows = []
    for part, (function, _) in PARTS.items():
        cases = read(out, part)
        failed = sum(bool(case["fault"]) for case in cases)
        (what,) = (function.__doc__ or "").splitlines()[:1]
        rows.append([part, what, str(len(cases)), str(failed)])
    return markdown_table(["part", "what is done", "cases", "failed"], rows)


if __name__ == "__main__":
    main()
