"""Judge predictions of images that lie in folders named after their classes."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfmodels.prediction import table
from tfmodels.prediction.images import read_batch
from tfmodels.report.page import MISTAKES, write_report
from tfmodels.report.tables import summary
from tfmodels.runs.contents import CONFIG, PREDICTIONS, Run, open_run
from tfmodels.runs.directory import now
from tfmodels.runs.manifest import write_manifest
from tfmodels.runs.predictions import Predictions, save_images, save_predictions
from tfmodels.safe_files import write_json


def known_labels(out: Path, class_names: Sequence[str]) -> Predictions | None:
    """Return a growing table as predictions, if all its images are in folders of their classes.

    Files that can't be read are left out.
    """
    numbers = {name: number for number, name in enumerate(class_names)}
    ids, labels, probabilities = [], [], []
    for row in table.rows(out):
        label = numbers.get(Path(row["file"]).parent.name)
        if label is None:
            return None
        if not row["error"]:
            ids.append(row["file"])
            labels.append(label)
            probabilities.append(list(row["probabilities"].values()))
    if not ids:
        return None
    rows = np.array(probabilities, np.float32)
    return Predictions(np.array(ids), np.array(labels), rows)


def judge(runs: Sequence[Run], found: Predictions, page: Path) -> str:
    """Write the report of predictions to an HTML file, and return their metrics as text.

    Args:
        runs: that predicted.
        found: what they predicted.
        page: file to write.
    """
    dataset = runs[0].config["dataset"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / page.stem
        path.mkdir()
        config: dict[str, Any] = {
            **{key: runs[0].config[key] for key in ("git_commit", "versions", "hardware")},
            "settings": {"predicted by": ", ".join(run.name for run in runs)},
            "command": ["tfmodels", "predict", *(str(run.path) for run in runs)],
            "dataset": dataset
            | {
                "name": "images of one's own",
                "version": "",
                "split": "all images judge; none of them trains",
                "splits": {"test": len(found.ids)},
            },
            "started": now(),
        }
        write_json(path / CONFIG, config)
        save_predictions(path / PREDICTIONS, {"test": found}, tuple(dataset["class_names"]))
        sure = found.mistakes()[:MISTAKES]
        shape = dataset["image_shape"]
        images = read_batch(found.ids[sure].tolist(), [shape]).images.get(shape, np.empty((0,)))
        save_images(path / "mistakes.npz", found.ids[sure], list(images))
        write_manifest(path)
        write_report([open_run(path)], page)
        return summary(path)
