"""Runs fused: what comes of it, and whether that was worth it.

No TensorFlow here: saved predictions are all that it takes.
"""

import dataclasses
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfmodels import environment, fusion
from tfmodels.errors import UsageError
from tfmodels.evaluation import evaluate
from tfmodels.members import Members
from tfmodels.predictions import (
    Predictions,
    load_mistakes,
    save_mistakes,
    save_predictions,
)
from tfmodels.results import write_results
from tfmodels.runs import (
    RESULTS,
    new_run,
    now,
    read_json,
    run_path,
    write_json,
    write_text,
)
from tfmodels.significance import Comparison, bootstrap, interval, mcnemar
from tfmodels.tables import (
    FIGURE_COLUMNS,
    csv_table,
    figure_cells,
    fusion_summary,
    markdown_table,
    percent,
)

LEARNING = ("power", "weighted", "stacking")  # methods that are fitted on validation


def fit_rule(
    members: Members, method: str, calibrate: bool = False
) -> tuple[fusion.Rule, dict[str, Any]]:
    """A rule ready to fuse, with what it learned from the members' validation pictures.

    Raises:
        UsageError: it has to learn, and the members have no validation pictures in common.
    """
    if "val" not in members.splits:
        if method in LEARNING or calibrate:
            what = f"--method {method}" if method in LEARNING else "--calibrate"
            raise UsageError(
                f"{what} learns from validation pictures, and these runs don't have the same: "
                "use --method sum, geometric or vote, or runs with the same --seed"
            )
        return fusion.METHODS[method](np.empty(0), np.empty(0))
    _, labels, probabilities = members.splits["val"]
    rule, learned = fusion.METHODS[method](probabilities, labels)
    if not calibrate:
        return rule, learned
    temperature = fusion.fit_temperature(rule(probabilities), labels)
    return (
        lambda probabilities: fusion.temper(rule(probabilities), temperature),
        learned | {"temperature": temperature},
    )


def fusion_path(out: Path, members: Members, method: str, calibrate: bool) -> Path:
    """The default path of a fusion: data, method, and a word that stands for its members."""
    digest = hashlib.sha256("".join(sorted(members.checksums)).encode()).hexdigest()[:8]
    parts = [members.config["dataset"]["name"], "fusion", method, digest]
    return run_path(out, "_".join([*parts, *(["calibrated"] if calibrate else [])]))


def run_fusion(
    members: Members, method: str, calibrate: bool, path: Path, overwrite: bool = False
) -> str:
    """Fuse runs into a run directory of the same kind, judged against its members.

    Returns:
        The test results in words and tables; the figures are in fusion.json.

    Raises:
        UsageError: the path is taken, or the method can't learn from these members.
    """
    started = now()
    rule, learned = fit_rule(members, method, calibrate)
    splits = {
        name: Predictions(ids, labels, rule(probabilities).astype(np.float32))
        for name, (ids, labels, probabilities) in members.splits.items()
    }
    dataset = members.config["dataset"]
    config = {
        "settings": {"method": method, "calibrate": calibrate, "data": dataset["name"]},
        "learned": learned,
        "members": [
            {"name": name, "path": str(run.resolve()), "sha256": checksum}
            for name, run, checksum in zip(
                members.names, members.paths, members.checksums, strict=True
            )
        ],
        "command": sys.argv,
        "dataset": dataset,
        "versions": environment.versions(),
        "hardware": environment.hardware(),
        "started": started,
    }
    with new_run(path, overwrite, files=(*RESULTS, "fusion.json")) as work:
        save_predictions(work / "predictions.npz", splits, members.class_names)
        _keep_mistakes(work / "mistakes.npz", members, splits["test"])
        comparison = compare(members, splits["test"].probabilities)
        write_json(work / "fusion.json", comparison)
        write_json(work / "config.json", config | {"ended": now()})
        write_results(work)
    return fusion_summary(comparison)


def table_of_methods(members: Members, calibrate: bool, out: Path) -> str:
    """Judge every method on the test pictures; writes fusion_methods.md and .csv to a folder.

    Returns:
        The table in Markdown; to choose a method, its second column is the one to look at:
        each validation picture fused by what the method learned from other ones.

    Raises:
        UsageError: the members have no validation pictures in common.
    """
    rows = []
    for method in fusion.METHODS:
        rule, learned = fit_rule(members, method, calibrate)
        _, labels, probabilities = members.splits["val"]
        held_out = fusion.fuse_held_out(method, probabilities, labels)
        on_validation = evaluate(labels, held_out, members.class_names)
        comparison = compare(members, rule(members.splits["test"][2]))
        difference = Comparison(**comparison["difference"])
        rows.append(
            [
                method,
                percent(on_validation["mean_class_accuracy"]),
                *figure_cells(comparison["figures"]["fusion"], comparison["intervals"]["fusion"]),
                difference.points(),
                f"{difference.p:.2g}",
                ", ".join(f"{key} {np.round(value, 3).tolist()}" for key, value in learned.items()),
            ]
        )
    others = {name: row for name, row in comparison["figures"].items() if name != "fusion"}
    for name, row in others.items():
        cells = figure_cells(row, comparison["intervals"][name], name != "oracle")
        rows.append([name, "", *cells, "", "", ""])
    against = f"against {comparison['rival']}"
    header = ["method", "validation (5-fold)", *FIGURE_COLUMNS, against, "McNemar p", "learned"]
    table = markdown_table(header, rows)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "fusion_methods.md", table + "\n")
    write_text(out / "fusion_methods.csv", csv_table(header, rows))
    return table


def _keep_mistakes(path: Path, members: Members, fused: Predictions) -> None:
    files = [run / "mistakes.npz" for run in members.paths]
    pictures: dict[str, np.ndarray] = {}
    for file in files:
        if file.exists():  # not in runs of before there were reports
            pictures |= load_mistakes(file)
    wrong = fused.ids[fused.probabilities.argmax(axis=1) != fused.labels].tolist()
    known = [id for id in wrong if id in pictures]
    save_mistakes(path, np.array(known, str), [pictures[id] for id in known])


def compare(members: Members, fused: np.ndarray) -> dict[str, Any]:
    """Judge a fusion on the test pictures beside its members, with statistics.

    Its rival is the member with the best mean class accuracy on its validation pictures, so
    that no choice is made on the test split. The oracle is right where any member is.

    Args:
        members: the runs.
        fused: probabilities of the test split (n, classes).

    Returns:
        `figures` (name -> as of `evaluate`, of each member, `fusion` and `oracle`), `intervals`
        (name -> figure -> 95 % bootstrap interval), `rival`, `difference` (with `low`, `high`
        and `p`) and `in_words`.
    """
    _, labels, probabilities = members.splits["test"]
    classes = len(members.class_names)
    predicted = [member.argmax(axis=1) for member in (*probabilities, fused)]
    anyone = np.any([member == labels for member in predicted[:-1]], axis=0)
    oracle = np.where(anyone, labels, predicted[0])
    names = [*members.names, "fusion", "oracle"]
    judged = (*probabilities, fused, np.eye(classes)[oracle])
    figures = {
        name: evaluate(labels, said, members.class_names)
        for name, said in zip(names, judged, strict=True)
    }
    resampled = bootstrap(labels, [*predicted, oracle], classes)
    intervals = {
        name: {key: interval(values[i]) for key, values in resampled.items()}
        for i, name in enumerate(names)
    }
    rival = _best_on_validation(members.paths)
    accuracies = resampled["mean_class_accuracy"]
    low, high = interval(accuracies[-2] - accuracies[rival])
    comparison = Comparison(
        accuracy=figures["fusion"]["mean_class_accuracy"],
        rival=figures[names[rival]]["mean_class_accuracy"],
        low=low,
        high=high,
        p=mcnemar(labels, predicted[-1], predicted[rival]),
        pictures=len(labels),
    )
    return {
        "figures": figures,
        "intervals": intervals,
        "rival": names[rival],
        "difference": dataclasses.asdict(comparison),
        "in_words": comparison.in_words(),
    }


def _best_on_validation(runs: Sequence[Path]) -> int:
    metrics = [read_json(run / "metrics.json") for run in runs]
    accuracies = [of_run.get("val", {}).get("mean_class_accuracy", 0.0) for of_run in metrics]
    return int(np.argmax(accuracies))
