"""Classify image files with trained networks."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tfmodels.errors import UsageError, first_names
from tfmodels.prediction import table
from tfmodels.prediction.images import Batch, find_images, read_batch
from tfmodels.prediction.judge import judge, known_labels
from tfmodels.prediction.networks import Predict, Shape, predictor_of_all
from tfmodels.report.tables import text_table
from tfmodels.runs.contents import CONFIG, Run
from tfmodels.safe_files import checksum

BATCH = 64  # files
DIGITS = 6  # of probabilities


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was predicted, in words.

    Attributes:
        text: metrics, where images were judged, or else how many are of each class.
        unreadable: which files couldn't be read; empty if there are none.
    """

    text: str
    unreadable: str


def predict_files(
    runs: Sequence[Run], paths: Sequence[str], out: Path, overwrite: bool = False
) -> Outcome:
    """Write the class, its probability and those of all classes for each image to a table.

    The same call continues one that was interrupted. Memory doesn't grow with the number of images,
    unless all are in folders named after classes: those are judged, and their report is written to
    `out` with .html.

    Args:
        runs: trainings or fusions; of several the mean of their probabilities counts.
        paths: files, folders, and patterns such as `scenes/**/*.tif`.
        out: table to write, `.csv` or `.jsonl`; its columns are those of `table.Row`.
        overwrite: whether to replace an interrupted table of something else.

    Raises:
        UsageError: a path matches nothing, the runs don't fit together, or an earlier table of
            that name was of something else.
        RunError: a run is damaged.
    """
    count = sum(1 for _ in find_images(paths))
    if not count:
        raise UsageError(f"{first_names(list(paths))}: no images are there")
    class_names = runs[0].config["dataset"]["class_names"]
    header = {"runs": [checksum(run.file(CONFIG)) for run in runs], "paths": list(paths)}
    table.begin(out, header, overwrite)
    files, done = find_images(paths), 0
    for row in table.rows(out):
        if row["file"] != next(files, None):
            raise UsageError(
                f"{table.part_of(out)} holds other files than are there now: remove it to start "
                "over, or name another `out`"
            )
        done += 1
    predict, shapes = predictor_of_all(runs)
    with tqdm(
        desc="images", total=count, initial=done, ncols=79, leave=False, disable=None
    ) as progress:
        for batch in _read_ahead(files, shapes):
            table.add(out, list(_rows(batch, predict, class_names)))
            progress.update(len(batch.files))
    damaged = [row for row in table.rows(out) if row["error"]]
    counts = Counter(row["class"] for row in table.rows(out) if not row["error"])
    labelled = known_labels(table.rows(out), class_names)
    table.finish(out, class_names)
    text = f"{count - len(damaged):,} images are classified in {out}"
    if labelled:
        page = out.with_suffix(".html")
        text = f"{judge(runs, labelled, paths, page)}\nreport: {page}\n{text}"
    else:
        text = f"{text_table(['class', 'images'], counts.most_common())}\n{text}"
    unreadable = ""
    if damaged:
        listed = first_names([f"{row['file']} ({row['error']})" for row in damaged])
        unreadable = f"{len(damaged)} of {count} files can't be read: {listed}; all are in {out}"
    return Outcome(text, unreadable)


def _read_ahead(files: Iterable[str], shapes: set[Shape]) -> Iterator[Batch]:
    """Yield the files in batches, each read while the one before is used."""
    iterator = iter(files)
    batches = iter(lambda: list(itertools.islice(iterator, BATCH)), [])
    with ThreadPoolExecutor(1) as reader:
        ahead = None
        for names in batches:
            following = reader.submit(read_batch, names, sorted(shapes))
            if ahead:
                yield ahead.result()
            ahead = following
        if ahead:
            yield ahead.result()


def _rows(batch: Batch, predict: Predict, class_names: Sequence[str]) -> Iterator[table.Row]:
    readable = predict(batch.images) if batch.images else np.empty((0, 0))
    probabilities = iter(readable.astype(float).round(DIGITS).tolist())
    for file, error in zip(batch.files, batch.errors, strict=True):
        found = {} if error else dict(zip(class_names, next(probabilities), strict=True))
        best = max(found, key=found.__getitem__, default="")
        yield {
            "file": file,
            "class": best,
            "confidence": found.get(best),
            "error": error,
            "probabilities": found,
        }
