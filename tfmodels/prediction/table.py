"""A table of predictions that grows file by file, so that an interrupted one can be continued.

While it grows it is `PATH.part`, a line of JSON for each file; when it is complete it becomes the
CSV or JSON Lines file `PATH`.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tfmodels.errors import UsageError
from tfmodels.safe_files import new_file

FORMATS = (".csv", ".jsonl")
Row = dict[str, Any]  # file, class, confidence, error, and probabilities by class


def part_of(path: Path) -> Path:
    """Return where a table grows."""
    return path.with_name(path.name + ".part")


def begin(path: Path, header: dict[str, Any], overwrite: bool = False) -> None:
    """Begin a table, or go on with one that has the same header.

    A line that was written in part, as by a full disk, is removed.

    Args:
        path: of the table.
        header: what it is of.
        overwrite: whether to replace a part that is of something else.

    Raises:
        UsageError: the path ends otherwise, or its part is of something else.
    """
    if path.suffix not in FORMATS:
        raise UsageError(f"`out` is {path}: it must end in {' or '.join(FORMATS)}")
    part, first = part_of(path), json.dumps(header) + "\n"
    if not part.exists():
        part.write_text(first, encoding="utf-8")
    with part.open("rb+") as file:
        if file.readline().decode(errors="replace") != first:
            if not overwrite:
                raise UsageError(
                    f"{part} is of other runs or images: add `overwrite=True` to start over, or "
                    "name another `out`"
                )
            file.truncate(0)
            file.seek(0)
            file.write(first.encode())
        whole = file.tell()
        whole += sum(len(line) for line in file if line.endswith(b"\n"))
        file.truncate(whole)


def add(path: Path, rows: Sequence[Row]) -> None:
    """Add rows to a table."""
    with part_of(path).open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def finish(path: Path, class_names: Sequence[str]) -> None:
    """Make the table from its part, and remove the part."""
    with (
        new_file(path) as whole,
        whole.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        if path.suffix == ".csv":
            writer = csv.writer(file)
            writer.writerow(["file", "class", "confidence", "error", *class_names])
            for row in rows(path):
                *known, probabilities = row.values()
                writer.writerow([*known, *probabilities.values()])
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows(path))
    part_of(path).unlink()


def rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a table that grows."""
    with part_of(path).open(encoding="utf-8") as file:
        next(file)
        yield from map(json.loads, file)
