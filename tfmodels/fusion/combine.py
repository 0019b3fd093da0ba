"""Runs fused: what comes of it, and whether that was worth it.

No TensorFlow here: saved predictions are all that it takes.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfmodels import environment, fusion
from tfmodels.errors import UsageError
from tfmodels.evaluation import evaluate
from tfmodels.fusion.members import Members
from tfmodels.runs.predictions import (
    Predictions,
    load_mistakes,
    save_mistakes,
    save_predictions,
)
from tfmodels.report.results import write_results
from tfmodels.runs.directory import (
    RESULTS,
    new_run,
    now,
    read_json,
    run_path,
    write_json,
    write_text,
)
from tfmodels.fusion.significance import Comparison, bootstrap, interval, mcnemar
from tfmodels.report.tables import (
    FIGURE_COLUMNS,
    csv_table,
    figure_cells,
    fusion_summary,
    learned_in_words,
    markdown_table,
    numbered,
    percent,
)

LEFT_OUT = ("F1", "precision", "recall", "Brier score")  # of a table to be read
LEARNING = ("power", "weighted", "stacking")  # methods that are fitted on validation


def fuse(
    members: Members, method: str, calibrate: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Fuse the members' predictions by a method, first fitted to validation if it has to learn.

    Returns:
        By split, fused probabilities (n, classes) float32, and what the method learned. Each
        validation picture is fused by what was learned from other ones, because a method fits
        those that it learned from too well.

    Raises:
        UsageError: it has to learn, and the members have no validation pictures in common, or
            too few of a class.
    """
    if method in LEARNING or calibrate:
        _check_validation(members, f"--method {method}" if method in LEARNING else "--calibrate")
    splits = {name: probabilities for name, (_, _, probabilities) in members.splits.items()}
    _, labels, validation = members.splits.get("val", (None, np.empty(0), np.empty(0)))
    rule, learned = fusion.METHODS[method](validation, labels)
    fused = {name: rule(probabilities) for name, probabilities in splits.items()}
    if method in LEARNING:
        fused["val"] = fusion.fuse_held_out(method, validation, labels)
    if calibrate:
        temperature = fusion.fit_temperature(fused["val"], labels)
        fused = {name: fusion.temper(said, temperature) for name, said in fused.items()}
        learned = learned | {"temperature": temperature}
    return {name: said.astype(np.float32) for name, said in fused.items()}, learned


def _check_validation(members: Members, what: str) -> None:
    learns = f"{what} learns from validation pictures, and"
    instead = "use --method sum, geometric or vote"
    if "val" not in members.splits:
        raise UsageError(
            f"{learns} these runs don't have the same: {instead}, or runs with the same --seed"
        )
    counts = np.bincount(members.splits["val"][1], minlength=len(members.class_names))
    if counts.min() < fusion.FOLDS:
        few = members.class_names[counts.argmin()]
        raise UsageError(
            f"{learns} of {few} there are {counts.min()}, where {fusion.FOLDS} are needed: "
            f"{instead}"
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
    runs = [str(run.resolve()) for run in members.paths]
    if str(path.resolve()) in runs:
        raise UsageError(f"{path} is one of the runs to fuse: name another with --name")
    fused, learned = fuse(members, method, calibrate)
    splits = {
        name: Predictions(ids, labels, fused[name])
        for name, (ids, labels, _) in members.splits.items()
    }
    dataset = members.config["dataset"]
    config = {
        "settings": {"method": method, "calibrate": calibrate, "data": dataset["name"]},
        "learned": learned,
        "members": [
            {"name": name, "path": run, "sha256": checksum}
            for name, run, checksum in zip(members.names, runs, members.checksums, strict=True)
        ],
        "command": ["fuse.py", *runs, "--method", method, *["--calibrate"] * calibrate],
        "dataset": dataset,
        "versions": environment.versions(),
        "hardware": environment.hardware(),
        "started": started,
    }
    with new_run(path, overwrite, files=(*RESULTS, "fusion.json")) as work:
        save_predictions(work / "predictions.npz", splits, members.class_names)
        _keep_mistakes(work / "mistakes.npz", members, splits["test"])
        comparison = compare(members, {"fusion": fused["test"]})
        write_json(work / "fusion.json", comparison)
        write_json(work / "config.json", config | {"ended": now()})
        write_results(work)
    return fusion_summary(comparison, learned)


def table_of_methods(members: Members, calibrate: bool, out: Path) -> str:
    """Judge every method on the test pictures; writes all figures as .csv, the most telling as .md.

    Returns:
        The table in Markdown, and where it is; to choose a method, its second column is the one
        to look at: each validation picture fused by what the method learned from other ones.

    Raises:
        UsageError: the members have no validation pictures in common, or too few of a class.
    """
    _check_validation(members, "--all-methods")
    on_validation, learned, fused = {}, {}, {}
    for method in fusion.METHODS:
        by_split, learned[method] = fuse(members, method, calibrate)
        fused[method] = by_split["test"]
        labels = members.splits["val"][1]
        on_validation[method] = evaluate(labels, by_split["val"], members.class_names)
    comparison = compare(members, fused)
    rows = []
    for name, figures in comparison["figures"].items():
        cells = figure_cells(figures, comparison["intervals"][name], name != "oracle")
        if name not in fused:
            rows.append([name, "", *cells, "", "", ""])
            continue
        difference = comparison["differences"][name]
        rows.append(
            [
                name,
                percent(on_validation[name]["mean_class_accuracy"]),
                *cells,
                difference["points"],
                f"{difference['p']:.2g}",
                learned_in_words(learned[name]),
            ]
        )
    against = f"against {comparison['rival']}"
    header = ["method", "validation (5-fold)", *FIGURE_COLUMNS, against, "McNemar p", "learned"]
    runs = numbered(members.names)
    told = [i for i, column in enumerate(header) if column not in LEFT_OUT]
    table = markdown_table(
        [
            header[i] if header[i] != against else f"against {runs[comparison['rival']]}"
            for i in told
        ],
        [[runs.get(row[i], row[i]) for i in told] for row in rows],
    )
    legend = "\n".join(f"{run}: {name}  " for name, run in runs.items())
    path = fusion_path(out, members, "methods", calibrate)
    out.mkdir(parents=True, exist_ok=True)
    write_text(path.with_name(path.name + ".md"), f"{legend}\n\n{table}\n")
    write_text(path.with_name(path.name + ".csv"), csv_table(header, rows))
    return f"{table}\nkept, with all figures: {path}.md, .csv"


def _keep_mistakes(path: Path, members: Members, fused: Predictions) -> None:
    files = [run / "mistakes.npz" for run in members.paths]
    pictures: dict[str, np.ndarray] = {}
    for file in files:
        if file.exists():  # not in runs of before there were reports
            pictures |= load_mistakes(file)
    wrong = fused.ids[fused.probabilities.argmax(axis=1) != fused.labels].tolist()
    known = [id for id in wrong if id in pictures]
    save_mistakes(path, np.array(known, str), [pictures[id] for id in known])


def compare(members: Members, fused: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Judge fusions on the test pictures beside their members, with statistics.

    Their rival is the member with the best mean class accuracy on its validation pictures, so
    that no choice is made on the test split. The oracle is right where any member is.

    Args:
        members: the runs.
        fused: probabilities of the test split (n, classes), by name of fusion.

    Returns:
        `figures` (name -> as of `evaluate`, of each member, each fusion and `oracle`),
        `intervals` (name -> figure -> 95 % bootstrap interval), `rival`, and `differences`
        (name of fusion -> the fields of `Comparison`, its `points` and `in_words`).
    """
    _, labels, probabilities = members.splits["test"]
    classes = len(members.class_names)
    judged = {**dict(zip(members.names, probabilities, strict=True)), **fused}
    anyone = np.any(probabilities.argmax(axis=2) == labels, axis=0)
    oracle = np.where(anyone, labels, probabilities[0].argmax(axis=1))
    judged["oracle"] = np.eye(classes)[oracle]
    figures = {name: evaluate(labels, said, members.class_names) for name, said in judged.items()}
    predicted = {name: said.argmax(axis=1) for name, said in judged.items()}
    resampled = bootstrap(labels, list(predicted.values()), classes)
    intervals = {
        name: {key: interval(values[i]) for key, values in resampled.items()}
        for i, name in enumerate(judged)
    }
    rival = members.names[_best_on_validation(members.paths)]
    accuracies = dict(zip(judged, resampled["mean_class_accuracy"], strict=True))
    differences = {}
    for name in fused:
        low, high = interval(accuracies[name] - accuracies[rival])
        won, lost, p = mcnemar(labels, predicted[name], predicted[rival])
        comparison = Comparison(
            accuracy=figures[name]["mean_class_accuracy"],
            rival=figures[rival]["mean_class_accuracy"],
            low=low,
            high=high,
            won=won,
            lost=lost,
            p=p,
            pictures=len(labels),
        )
        differences[name] = dataclasses.asdict(comparison) | {
            "points": comparison.points(),
            "in_words": comparison.in_words(),
        }
    return {
        "figures": figures,
        "intervals": intervals,
        "rival": rival,
        "differences": differences,
    }


def _best_on_validation(runs: Sequence[Path]) -> int:
    metrics = [read_json(run / "metrics.json") for run in runs]
    accuracies = [of_run.get("val", {}).get("mean_class_accuracy", 0.0) for of_run in metrics]
    return int(np.argmax(accuracies))
