"""Suspects: test images that all networks confuse with the same other class.

The label may be wrong: after the idea of confident learning (Northcutt et al. 2021,
arXiv:1911.00068), which trusts the confidence of networks that weren't trained on an image.
"""

import collections
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfmodels.errors import UsageError
from tfmodels.report.templates import TEMPLATES
from tfmodels.runs.contents import Run
from tfmodels.safe_files import write_text

CONFIDENT = 0.9  # mean probability of the other class
FEWEST = 2  # runs that tested an image


@dataclasses.dataclass(frozen=True)
class Suspect:
    """A test image that all runs confuse with the same other class.

    Attributes:
        id: of the image.
        label: its class by its label.
        predicted: its class by all runs that tested it.
        confidence: mean probability of that class.
        runs: how many tested it.
    """

    id: str
    label: str
    predicted: str
    confidence: float
    runs: int


def find_suspects(runs: Sequence[Run]) -> tuple[list[Suspect], int]:
    """Return the suspects by confidence, and how many images two or more runs tested.

    Runs may be of several networks, seeds and splits of the same images.

    Raises:
        UsageError: they are of different data, or have no two of them tested an image.
        RunError: a file of a run is missing or damaged.
    """
    first = runs[0].config["dataset"]
    for run in runs:
        if run.config["dataset"]["checksum"] != first["checksum"]:
            raise UsageError(f"{run.path} is of other images than {runs[0].path}: leave one out")
    tests = [run.predictions()["test"] for run in runs]
    ids, rows = np.unique(np.concatenate([test.ids for test in tests]), return_inverse=True)
    probabilities = np.concatenate([test.probabilities for test in tests])
    labels = np.empty(len(ids), int)
    labels[rows] = np.concatenate([test.labels for test in tests])
    counts = np.bincount(rows)
    votes = np.zeros((len(ids), probabilities.shape[1]), int)
    np.add.at(votes, (rows, probabilities.argmax(axis=1)), 1)
    means = np.zeros(votes.shape)
    np.add.at(means, rows, probabilities)
    means /= counts[:, None]
    predicted = votes.argmax(axis=1)
    tested = counts >= FEWEST
    if not tested.any():
        raise UsageError(f"no image was tested by {FEWEST} of the runs: name more of them")
    found = np.flatnonzero(tested & (votes.max(axis=1) == counts) & (predicted != labels))
    names = first["class_names"]
    suspects = [
        Suspect(
            str(ids[i]),
            names[labels[i]],
            names[predicted[i]],
            float(means[i, predicted[i]]),
            int(counts[i]),
        )
        for i in found
    ]
    return sorted(suspects, key=lambda one: -one.confidence), int(tested.sum())


def write_suspects(runs: Sequence[Run], path: Path) -> str:
    """Write the suspects with their images to an HTML file; return their numbers in words.

    Raises:
        UsageError: as of `find_suspects`.
        RunError: a file of a run is missing or damaged.
    """
    suspects, tested = find_suspects(runs)
    images: dict[str, np.ndarray] = {}
    for run in runs:
        images |= run.images("mistakes.npz")
    confident = sum(suspect.confidence >= CONFIDENT for suspect in suspects)
    summary = (
        f"{len(suspects)} of {tested:,} test images ({len(suspects) / tested:.2%}) are confused "
        f"with the same other class by all runs that tested them, {confident} of them with a mean "
        f"probability of {CONFIDENT:.0%} or more"
    )
    kinds = collections.Counter((suspect.label, suspect.predicted) for suspect in suspects)
    page = TEMPLATES.get_template("suspects.html").render(
        summary=summary,
        dataset=runs[0].config["dataset"],
        runs=runs,
        kinds=kinds.most_common(),
        suspects=[
            dataclasses.asdict(suspect) | {"image": images[suspect.id]} for suspect in suspects
        ],
    )
    write_text(path, page)
    return summary
