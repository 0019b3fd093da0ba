"""Judge predictions of images that lie in folders named after their classes."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tfmodels.prediction import table
from tfmodels.prediction.images import read_batch
from tfmodels.report.page import MISTAKES, PER_CELL, write_report
from tfmodels.report.tables import summary
from tfmodels.runs import environment
from tfmodels.runs.contents import CONFIG, PREDICTIONS, Run, open_run
from tfmodels.runs.directory import now
from tfmodels.runs.manifest import write_manifest
from tfmodels.runs.predictions import Predictions, save_images, save_predictions
from tfmodels.safe_files import write_json


def known_labels(rows: Iterable[table.Row], class_names: Sequence[str]) -> Predictions | None:
    """Return a table as predictions, if its images are in folders of their classes, and of all.

    Files that can't be read are left out, and a file that is there twice counts once.
    """
    numbers = {name: number for number, name in enumerate(class_names)}
    labels, probabilities = {}, {}
    for row in rows:
        label = numbers.get(Path(row["file"]).parent.name)
        if label is None:
            return None
        if not row["error"]:
            labels[row["file"]] = label
            probabilities[row["file"]] = list(row["probabilities"].values())
    if set(labels.values()) != set(numbers.values()):
        return None
    found = np.array(list(probabilities.values()), np.float32)
    found /= found.sum(axis=1, keepdims=True)  # which rounding may have left at 0.99
    return Predictions(np.array(list(labels)), np.array(list(labels.values())), found)


def judge(runs: Sequence[Run], found: Predictions, paths: Sequence[str], page: Path) -> str:
    """Write the report of predictions to an HTML file, and return their metrics as text.

    Args:
        runs: that predicted.
        found: what they predicted.
        paths: of the images, as they were named.
        page: file to write.
    """
    dataset = runs[0].config["dataset"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions"
        path.mkdir()
        config = {
            "settings": {"predicted by": ", ".join(run.name for run in runs)},
            "command": ["tfmodels", "predict", *(str(run.path) for run in runs), *paths],
            "git_commit": environment.git_commit(),
            "dataset": dataset
            | {
                "name": "images of one's own",
                "version": "",
                "split": "all images that were named",
                "splits": {"test": len(found.ids)},
            },
            "versions": environment.versions(),
            "hardware": environment.hardware(),
            "started": now(),
        }
        write_json(path / CONFIG, config)
        save_predictions(path / PREDICTIONS, {"test": found}, tuple(dataset["class_names"]))
        shown = _shown(found)
        shape = dataset["image_shape"]
        images = read_batch(found.ids[shown].tolist(), [shape]).images.get(shape, np.empty((0,)))
        save_images(path / "mistakes.npz", found.ids[shown], list(images))
        write_manifest(path)
        names = " and ".join(run.name for run in runs)
        write_report([open_run(path)], page, f"{len(found.ids):,} images classified by {names}")
        return summary(path)


def _shown(found: Predictions) -> np.ndarray:
    """Return the rows of the mistakes whose images the report shows, by descending confidence."""
    mistakes, predicted = found.mistakes(), found.probabilities.argmax(axis=1)
    seen: Counter[tuple[int, int]] = Counter()
    rows = []
    for rank, row in enumerate(mistakes.tolist()):
        cell = int(found.labels[row]), int(predicted[row])
        if rank < MISTAKES or seen[cell] < PER_CELL:
            rows.append(row)
        seen[cell] += 1
    return np.array(rows, int)
