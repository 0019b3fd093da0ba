"""One HTML page that tells all about a run, or several beside each other.

It is made from the run directories alone, and needs no network and no other file.
"""

import base64
import io
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.image import imsave

from tfmodels import plots
from tfmodels.evaluation import FIGURES, PROBABILISTIC, evaluate
from tfmodels.runs.predictions import Predictions, checksum, load_mistakes, load_predictions
from tfmodels.runs.directory import read_json, write_text
from tfmodels.report.tables import learned_in_words, percent

MISTAKES = 24  # shown of a run
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {"percent": percent, "in_words": learned_in_words}


def write_report(runs: Sequence[Path], path: Path) -> None:
    """Write the report of one run or several to an HTML file.

    Raises:
        RunError: a file of a run is missing or damaged.
    """
    described = [_describe(run) for run in runs]
    rows: dict[str, dict[str, Any]] = {}
    for row in (row for run in described for row in run["rows"]):
        if row["key"] not in rows or rows[row["key"]]["interval"] is None:
            rows[row["key"]] = row  # a member may be named as well, and has its interval here
    page = _TEMPLATES.get_template("page.html").render(
        title=" and ".join(run["name"] for run in described[:3]),
        runs=described,
        rows=list(rows.values()),
        settings=_beside([run["settings"] for run in described]),
        per_class=_per_class(list(rows.values())),
        figures=FIGURES,
        probabilistic=PROBABILISTIC,
    )
    write_text(path, page)


def _describe(run: Path) -> dict[str, Any]:
    config = read_json(run / "config.json")
    splits, class_names = load_predictions(run / "predictions.npz")
    test = splits["test"]
    figures = evaluate(test.labels, test.probabilities, class_names)
    name = run.resolve().name.removesuffix(".incomplete")
    fusion = read_json(run / "fusion.json") if "members" in config else None
    history = run / "history.csv"
    return {
        "name": name,
        "config": config,
        "settings": config["settings"] | config.get("learned", {}),
        "test": figures,
        "class_names": class_names,
        "matrix": _matrix(figures["confusion_matrix"], class_names),
        "fusion": fusion,
        "rows": _rows(name, checksum(run / "predictions.npz"), figures, config, fusion),
        "curves": plots.svg(plots.loss_curve, history) if history.exists() else "",
        "reliability": plots.svg(plots.reliability, test.labels, test.probabilities),
        "mistakes": _mistakes(run, test, class_names),
        "command": shlex.join(["python", *config["command"]]),
    }


def _rows(
    name: str,
    digest: str,
    test: dict[str, Any],
    config: dict[str, Any],
    fusion: dict[str, Any] | None,
) -> list[dict[str, Any]]:
    """What is compared: the run, or the members, the fusion and the oracle."""
    if fusion is None:
        return [{"key": digest, "name": name, "test": test, "interval": None}]
    known = {member["name"]: (member["sha256"], member["name"]) for member in config["members"]}
    oracle = f"oracle of {name} (right where any member is)"
    known |= {"fusion": (digest, name), "oracle": (oracle, oracle)}
    return [
        {
            "key": known[key][0],
            "name": known[key][1],
            "test": figures,
            "interval": fusion["intervals"][key],
        }
        for key, figures in fusion["figures"].items()
    ]


def _matrix(counts: list[list[int]], class_names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"name": name, "cells": [{"count": n, "share": n / max(sum(row), 1)} for n in row]}
        for name, row in zip(class_names, counts, strict=True)
    ]


def _beside(settings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Settings in rows of a value per run; `differs` marks those that aren't the same in all."""
    names = dict.fromkeys(name for of_run in settings for name in of_run)
    table = [(name, [of_run.get(name, "–") for of_run in settings]) for name in names]
    return [
        {"name": name, "values": values, "differs": any(value != values[0] for value in values)}
        for name, values in table
    ]


def _per_class(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = dict.fromkeys(name for row in rows for name in row["test"]["per_class"])
    return [
        {
            "name": name,
            "bars": [
                {"name": row["name"], "recall": row["test"]["per_class"][name]["recall"]}
                for row in rows
                if name in row["test"]["per_class"]
            ],
        }
        for name in names
    ]


def _mistakes(run: Path, test: Predictions, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """The most confident mistakes, first the most confident."""
    file = run / "mistakes.npz"
    pictures = load_mistakes(file) if file.exists() else {}
    predicted, confidence = test.probabilities.argmax(axis=1), test.probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != test.labels)
    chosen = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    return [
        {
            "id": test.ids[i],
            "true": class_names[test.labels[i]],
            "predicted": class_names[predicted[i]],
            "confidence": confidence[i],
            "picture": _data_url(pictures[test.ids[i]]) if test.ids[i] in pictures else None,
        }
        for i in chosen
    ]


def _data_url(image: np.ndarray) -> str:
    png = io.BytesIO()
    imsave(png, image, format="png")
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
