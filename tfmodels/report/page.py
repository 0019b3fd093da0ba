"""One HTML page about a run, or of several side by side.

It is made from the run directories alone, and needs no network and no other file.
"""

import itertools
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfmodels.evaluation import METRICS, PROBABILISTIC
from tfmodels.fusion.significance import bootstrap, interval
from tfmodels.report import plots
from tfmodels.report.tables import percent, scientific
from tfmodels.report.templates import TEMPLATES
from tfmodels.runs.contents import PREDICTIONS, Run
from tfmodels.runs.formats import FusionComparison
from tfmodels.runs.manifest import update_manifest
from tfmodels.runs.predictions import Predictions
from tfmodels.safe_files import checksum, write_text

MISTAKES = 24  # shown of a run
PER_CELL = 6  # images behind a cell of the matrix, so that the page stays small
COSTS = {  # columns that are left out where they are empty, and how their numbers are written
    "validation": ("mean class accuracy on validation, %", percent),
    "flop": ("training FLOP", scientific),
    "minutes": ("minutes", "{:.1f}".format),
}


def write_report(runs: Sequence[Run], path: Path, title: str = "") -> None:
    """Write the report of one run or several to an HTML file.

    Of a run that isn't complete it shows what there is so far.

    Of runs with equal predictions the first is shown, with a warning that names the others.

    Raises:
        RunError: a file of a run is missing or damaged.
    """
    described = [_describe(run, key) for key, run in _distinct(runs).items()]
    rows: dict[str, dict[str, Any]] = {}
    for row in (row for run in described for row in run["rows"]):
        # A member that is named as well has its interval in a fusion, and its cost itself.
        known = {name: value for name, value in row.items() if value is not None}
        rows[row["key"]] = rows.get(row["key"], row) | known
    _add_aliases(rows)
    costs = [key for key in COSTS if any(row[key] is not None for row in rows.values())]
    for row in rows.values():
        row["costs"] = ["" if row[key] is None else COSTS[key][1](row[key]) for key in costs]
    for about in described:
        if about["rows"]:
            about |= {name: rows[about["key"]][name] for name in ("alias", "colour")}
    page = TEMPLATES.get_template("page.html").render(
        title=title or " and ".join(run["name"] for run in described[:3]),
        runs=described,
        rows=list(rows.values()),
        curves=_overlaid([run for run in described if run["rows"] and run["history"]]),
        settings=_settings_table([run["settings"] for run in described]),
        costs=[COSTS[key][0] for key in costs],
        per_class=_per_class(list(rows.values())),
        metrics=METRICS,
        probabilistic=PROBABILISTIC,
        many=plots.MANY_CLASSES,
    )
    write_text(path, page)
    for run in runs:
        if run.checksums is not None and path.resolve() == (run.path / "report.html").resolve():
            update_manifest(run.path, "report.html")


def _distinct(runs: Sequence[Run]) -> dict[str, Run]:
    first: dict[str, Run] = {}
    for run in runs:
        same = first.setdefault(_key(run), run)
        if same is not run:
            print(
                f"warning: {run.path} has the same predictions as {same.path} and is left out of "
                "the report",
                file=sys.stderr,
            )
    return first


def _key(run: Run) -> str:
    """Return what tells a run from others: the SHA-256 of its predictions, once it has them."""
    return checksum(run.file(PREDICTIONS)) if run.has(PREDICTIONS) else str(run.path.resolve())


def _describe(run: Run, key: str) -> dict[str, Any]:
    config = run.config
    begun = "model" in config and (run.checksums is not None or run.has("history.csv"))
    history = run.file("history.csv") if begun else None
    return {
        "name": run.name,
        "key": key,
        "config": config,
        "settings": config["settings"] | config.get("learned", {}),
        "test": None,
        "fusion": None,
        "rows": [],
        "history": history,
        "curves": [plots.svg(plots.curve, history, name) for name in plots.CURVES if history],
        "command": command_line(config["command"]),
        **(_describe_results(run, key) if run.has(PREDICTIONS) else {}),
    }


def _describe_results(run: Run, key: str) -> dict[str, Any]:
    test, class_names = run.predictions()["test"], run.config["dataset"]["class_names"]
    splits = run.metrics()
    metrics, validation = splits["test"], splits.get("val", {}).get("mean_class_accuracy")
    fusion = run.comparison() if "members" in run.config else None
    mistakes = _mistakes(run, test, class_names)
    return {
        "test": metrics,
        "class_names": class_names,
        "matrix": _matrix(metrics["confusion_matrix"], class_names, mistakes, key),
        "fusion": fusion,
        "rows": _fusion_rows(run, key, metrics, validation, fusion)
        if fusion
        else [_row(run, key, metrics, validation, test)],
        "reliability": plots.svg(plots.reliability, test.labels, test.probabilities),
        "mistakes": mistakes[:MISTAKES],
    }


def command_line(arguments: Sequence[str]) -> str:
    """Return a command line that can be repeated: of a script, or of the installed command."""
    if Path(arguments[0]).name == "tfmodels":
        return shlex.join(["tfmodels", *arguments[1:]])
    return shlex.join(["python", *arguments])


# What isn't known of each row.
_UNKNOWN = ("interval", "oracle_of", "validation", "parameters", "flop", "minutes")


def _row(
    run: Run, key: str, metrics: dict[str, Any], validation: float | None, test: Predictions
) -> dict[str, Any]:
    """Return what is compared of a training."""
    return dict.fromkeys(_UNKNOWN) | {
        "key": key,
        "name": run.name,
        "test": metrics,
        "interval": _intervals(test),
        "validation": validation,
        "parameters": run.config.get("model", {}).get("parameters"),
        "flop": run.config.get("training_flop"),
        "minutes": run.training_seconds() / 60 if run.has("history.csv") else None,
    }


def _fusion_rows(
    run: Run, key: str, test: dict[str, Any], validation: float | None, fusion: FusionComparison
) -> list[dict[str, Any]]:
    """Return the members, the fusion and the oracle."""
    keys = {member["name"]: (member["sha256"], member["name"]) for member in run.config["members"]}
    oracle = f"oracle of {run.name} (correct where any member is)"
    keys |= {"fusion": (key, run.name), "oracle": (oracle, oracle)}
    return [
        dict.fromkeys(_UNKNOWN)
        | {
            "key": keys[entry][0],
            "name": keys[entry][1],
            "test": test if entry == "fusion" else metrics,
            "interval": fusion["intervals"][entry],
            "oracle_of": key if entry == "oracle" else None,
            "validation": validation if entry == "fusion" else None,
        }
        for entry, metrics in fusion["metrics"].items()
    ]


def _intervals(test: Predictions) -> dict[str, tuple[float, float]]:
    """Return the 95 % bootstrap intervals of the four metrics, over the test images."""
    predicted = test.probabilities.argmax(axis=1)
    resampled = bootstrap(test.labels, [predicted], test.probabilities.shape[1])
    return {key: interval(values[0]) for key, values in resampled.items()}


def _overlaid(runs: Sequence[dict[str, Any]]) -> list[str]:
    """Return the curves of several runs in one figure for each metric."""
    if len(runs) < 2:
        return []
    lines = [(run["alias"], plots.RUN_COLOURS[run["colour"] - 1], run["history"]) for run in runs]
    return [plots.svg(plots.overlay, lines, metric) for metric in plots.CURVES]


def _add_aliases(rows: dict[str, dict[str, Any]]) -> None:
    """Give each row a short name and the number of its colour; oracles have the colour 0."""
    numbers = itertools.count(1)
    for row in rows.values():
        if not row["oracle_of"]:
            number = next(numbers)
            row |= {"alias": f"run {number}", "colour": (number - 1) % len(plots.RUN_COLOURS) + 1}
    for row in rows.values():
        if row["oracle_of"]:
            row |= {"alias": f"oracle of {rows[row['oracle_of']]['alias']}", "colour": 0}


def _matrix(
    counts: list[list[int]],
    class_names: Sequence[str],
    mistakes: Sequence[dict[str, Any]],
    key: str,
) -> list[dict[str, Any]]:
    """Return the rows of a confusion matrix; behind a cell are images of its mistakes, if any."""
    if len(class_names) > plots.MANY_CLASSES:
        return []
    of_cell: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for mistake in mistakes:
        if mistake["image"] is not None:
            of_cell.setdefault((mistake["true"], mistake["predicted"]), []).append(mistake)
    return [
        {
            "name": true,
            "cells": [
                {
                    "id": f"{key}-{i}-{j}",
                    "count": count,
                    "share": count / max(sum(row), 1),
                    "predicted": predicted,
                    "mistakes": of_cell.get((true, predicted), [])[:PER_CELL],
                }
                for j, (predicted, count) in enumerate(zip(class_names, row, strict=True))
            ],
        }
        for i, (true, row) in enumerate(zip(class_names, counts, strict=True))
    ]


def _settings_table(settings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each setting with its value in each run, and whether the values differ.

    Fusions have other settings than trainings, which isn't a difference.
    """
    names = dict.fromkeys(name for run in settings for name in run)
    table = []
    for name in names:
        known = [run[name] for run in settings if name in run]
        values = [run.get(name, "–") for run in settings]
        differs = any(value != known[0] for value in known) or len(known) == 1
        table.append({"name": name, "value": known[0], "values": values, "differs": differs})
    return table


def _per_class(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the recall of each class in each row, the worst class on average first."""
    names = dict.fromkeys(name for row in rows for name in row["test"]["per_class"])
    classes = [
        {
            "name": name,
            "bars": [
                {
                    "alias": row["alias"],
                    "colour": row["colour"],
                    "recall": row["test"]["per_class"][name]["recall"],
                }
                for row in rows
                if name in row["test"]["per_class"]
            ],
        }
        for name in names
    ]
    return sorted(classes, key=lambda row: np.mean([bar["recall"] for bar in row["bars"]]))


def _mistakes(run: Run, test: Predictions, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the mistakes, in descending order of confidence."""
    # A run that was interrupted before it wrote them may have predictions already.
    images = run.images("mistakes.npz") if run.checksums or run.has("mistakes.npz") else {}
    heated = run.images("grad_cam.npz") if run.has("grad_cam.npz") else {}
    predicted, confidence = test.probabilities.argmax(axis=1), test.probabilities.max(axis=1)
    return [
        {
            "id": test.ids[i],
            "true": class_names[test.labels[i]],
            "predicted": class_names[predicted[i]],
            "confidence": confidence[i],
            "image": images.get(test.ids[i]),
            "heat": heated.get(test.ids[i]),
        }
        for i in test.mistakes()
    ]
