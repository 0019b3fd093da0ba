"""Fusing runs into a run directory of their own, or comparing all methods in a table.

Saved predictions are all that this needs; TensorFlow isn't imported.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfmodels.errors import UsageError
from tfmodels.evaluation import evaluate
from tfmodels.fusion import rules
from tfmodels.fusion.comparison import compare
from tfmodels.fusion.members import Members
from tfmodels.fusion.methods import LEARNING, METHODS
from tfmodels.report.index import write_index
from tfmodels.report.results import write_results
from tfmodels.report.tables import (
    METHOD_COLUMNS,
    csv_table,
    fusion_summary,
    markdown_table,
    methods_table,
    percent,
    select_columns,
    short_names,
)
from tfmodels.runs import environment
from tfmodels.runs.directory import RESULTS, has_state, incomplete, new_run, now, run_path
from tfmodels.runs.predictions import Predictions, save_images, save_predictions
from tfmodels.safe_files import write_json, write_text

QUICK = tuple(method for method in METHODS if method != "stacking")  # tried for a hint
OTHER_METHODS = "use `method=sum`, `method=geometric` or `method=vote`"  # learn nothing
HINT = 0.001  # by how much mean class accuracy another method must be better


def fuse(
    members: Members, method: str, calibrate: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Fuse the members' predictions by a method, which is fitted to validation if it learns.

    Returns:
        Fused probabilities (n, classes) float32 by split, and what the method learned. Each
        validation image is fused by what was learned from others, because a method looks
        better than it is on images that it was fitted to.

    Raises:
        UsageError: it learns, and the members have no validation images in common, or too few
            of a class.
    """
    if method in LEARNING:
        _check_validation(members, f"`method={method}`", OTHER_METHODS)
    if calibrate:
        _check_validation(members, "`calibrate`", "leave `calibrate` out")
    splits = {name: probabilities for name, (_, _, probabilities) in members.splits.items()}
    _, labels, validation = members.splits.get("val", (None, np.empty(0), np.empty(0)))
    rule, learned = rules.METHODS[method](validation, labels)
    fused = {name: rule(probabilities) for name, probabilities in splits.items()}
    if method in LEARNING:
        fused["val"] = rules.fuse_held_out(method, validation, labels)
    if calibrate:
        temperature = rules.fit_temperature(fused["val"], labels)
        fused = {name: rules.temper(outputs, temperature) for name, outputs in fused.items()}
        learned = learned | {"temperature": temperature}
    return {name: outputs.astype(np.float32) for name, outputs in fused.items()}, learned


def fitted_rule(
    members: Members, method: str, calibrate: bool
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a fusion as a function of probabilities (n_models, n, classes) of other images.

    Raises:
        UsageError: as of `fuse`.
    """
    _, learned = fuse(members, method, calibrate)
    _, labels, validation = members.splits.get("val", (None, np.empty(0), np.empty(0)))
    rule, _ = rules.METHODS[method](validation, labels)
    if not calibrate:
        return rule
    return lambda probabilities: rules.temper(rule(probabilities), learned["temperature"])


def _check_validation(members: Members, what: str, otherwise: str) -> None:
    fault = _validation_fault(members)
    if fault:
        raise UsageError(
            f"{what} learns from validation images, but {fault}: {otherwise}, "
            "or use runs with the same `seed` and more images"
        )


def _validation_fault(members: Members) -> str:
    """Return why nothing can be learned on validation, in words; empty if it can."""
    if "val" not in members.splits:
        return "the runs use different validation splits"
    counts = np.bincount(members.splits["val"][1], minlength=len(members.class_names))
    if counts.min() < rules.FOLDS:
        return (
            f"class {members.class_names[counts.argmin()]} has {counts.min()} validation images; "
            f"at least {rules.FOLDS} are needed"
        )
    return ""


def fusion_path(out: Path, members: Members, method: str, calibrate: bool) -> Path:
    """Return the default path of a fusion, named by data, method and a hash of the members."""
    digest = hashlib.sha256("".join(sorted(members.checksums)).encode()).hexdigest()[:8]
    parts = [members.dataset["name"], "fusion", method, digest]
    return run_path(out, "_".join([*parts, *(["calibrated"] if calibrate else [])]))


def run_fusion(
    members: Members, method: str, calibrate: bool, path: Path, overwrite: bool = False
) -> str:
    """Fuse runs into a run directory of the same kind, and compare it with its members.

    Returns:
        The test results in words and a table of 80 columns; all metrics are in fusion.json.

    Raises:
        UsageError: the path is taken, or the method can't learn from these members.
    """
    started = now()
    runs = [str(run.path.resolve()) for run in members.runs]
    if str(path.resolve()) in runs:
        raise UsageError(f"{path} is one of the runs to fuse: choose another `name`")
    fused, learned = fuse(members, method, calibrate)
    splits = {
        name: Predictions(ids, labels, fused[name])
        for name, (ids, labels, _) in members.splits.items()
    }
    if has_state(path) and not overwrite:
        raise UsageError(
            f"{incomplete(path)} holds a training that was interrupted: choose another `name`, or "
            "add `overwrite=True`"
        )
    dataset = members.dataset
    config = {
        "settings": {"method": method, "calibrate": calibrate, "data": dataset["name"]},
        "learned": learned,
        "members": [
            {"name": name, "path": run, "sha256": checksum}
            for name, run, checksum in zip(members.names, runs, members.checksums, strict=True)
        ],
        "command": ["fuse.py", *runs, "--method", method, *["--calibrate"] * calibrate],
        "git_commit": environment.git_commit(),
        "dataset": dataset,
        "versions": environment.versions(),
        "hardware": environment.hardware(),
        "started": started,
    }
    with new_run(path, overwrite, files=(*RESULTS, "fusion.json")) as work:
        save_predictions(work / "predictions.npz", splits, members.class_names)
        _save_mistakes(work / "mistakes.npz", members, splits["test"])
        comparison = compare(members, {"fusion": fused["test"]})
        write_json(work / "fusion.json", comparison)
        write_json(work / "config.json", config | {"ended": now()})
        write_results(work)
    write_index(path.parent)
    legend = [f"run {number}: {run.path}" for number, run in enumerate(members.runs, 1)]
    summary = fusion_summary(comparison, learned)
    return "\n".join([*legend, "", summary, *_hint(members, method, fused)])


def _save_mistakes(path: Path, members: Members, fused: Predictions) -> None:
    """Save the misclassified images, which members have: where all are right, so is their mean."""
    images: dict[str, np.ndarray] = {}
    for run in members.runs:
        images |= run.images("mistakes.npz")
    wrong = fused.ids[fused.probabilities.argmax(axis=1) != fused.labels].tolist()
    available = [name for name in wrong if name in images]
    height, width, _ = members.dataset["image_shape"]
    resized = [_resize(images[name], height, width) for name in available]
    save_images(path, np.array(available, str), resized)


def _resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return an image in another size; members may have read the same images in several."""
    rows = np.arange(height) * image.shape[0] // height
    columns = np.arange(width) * image.shape[1] // width
    resized: np.ndarray = image[rows][:, columns]
    return resized


def _hint(members: Members, method: str, fused: dict[str, np.ndarray]) -> list[str]:
    """Return a line that names a method that is better on validation, if there is one."""
    if "val" not in members.splits:
        return []
    tried = {method: fused["val"]}
    for other in QUICK:
        if other != method and (other not in LEARNING or not _validation_fault(members)):
            tried[other] = fuse(members, other)[0]["val"]
    labels = members.splits["val"][1]
    accuracies = {
        name: evaluate(labels, outputs, members.class_names)["mean_class_accuracy"]
        for name, outputs in tried.items()
    }
    best = max(accuracies, key=accuracies.__getitem__)
    if accuracies[best] < accuracies[method] + HINT:
        return []
    return [
        f"hint: on validation `method={best}` reaches {percent(accuracies[best])} against "
        f"{percent(accuracies[method])} % mean class accuracy"
    ]


def table_of_methods(members: Members, calibrate: bool, out: Path) -> str:
    """Compare all methods on the test images; write all metrics as .md and .csv.

    Returns:
        A table of 80 columns, and where the files are. To choose a method, look at its accuracy
        on validation, where each image is fused by what the method learned from others.

    Raises:
        UsageError: the members have no validation images in common, or too few of a class.
    """
    _check_validation(members, "`all_methods`", OTHER_METHODS)
    labels = members.splits["val"][1]
    validation, learned, fused = {}, {}, {}
    for method in METHODS:
        by_split, learned[method] = fuse(members, method, calibrate)
        fused[method] = by_split["test"]
        metrics = evaluate(labels, by_split["val"], members.class_names)
        validation[method] = metrics["mean_class_accuracy"]
    comparison = compare(members, fused)
    header, rows = methods_table(comparison, validation, learned)
    runs = short_names(members.names)
    path = fusion_path(out, members, "methods", calibrate)
    out.mkdir(parents=True, exist_ok=True)
    legend = "".join(f"{run}: {name}  \n" for name, run in runs.items())
    short = [[runs.get(cell, cell) for cell in row] for row in rows]
    write_text(path.with_name(path.name + ".md"), f"{legend}\n{markdown_table(header, short)}\n")
    write_text(path.with_name(path.name + ".csv"), csv_table(header, rows))
    return "\n".join(
        [
            *(f"{name}: {run.path}" for name, run in zip(runs.values(), members.runs, strict=True)),
            "",
            select_columns(METHOD_COLUMNS, header, short),
            "",
            "validation, test: mean class accuracy in %",
            f"difference: from {runs[comparison['rival']]} (the best on validation); "
            "p: of McNemar's test",
            f"all metrics, and what was learned: {path}.md, .csv",
        ]
    )
