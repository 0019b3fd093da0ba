"""The same networks fused on several splits, such as those of several seeds, as one result."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfmodels.fusion.combine import fusion_path, run_fusion
from tfmodels.fusion.comparison import validation_accuracy
from tfmodels.fusion.members import Members, load_members
from tfmodels.fusion.significance import Comparison, bootstrap, interval, mcnemar
from tfmodels.report.seeds import difference, mean_and_spread
from tfmodels.report.tables import short_names, text_table, wrap
from tfmodels.runs.contents import Run, open_run
from tfmodels.runs.directory import is_complete, without_seed
from tfmodels.runs.predictions import align


def fuse_splits(
    groups: Sequence[Sequence[Path]], method: str, calibrate: bool, out: Path, overwrite: bool
) -> str:
    """Fuse each group into a run of its own, if it isn't there yet, and compare all at once.

    Returns:
        The comparison in words, as of `compare_splits`.

    Raises:
        UsageError: the runs don't fit together, or the method can't learn from them.
    """
    loaded = [load_members(group) for group in groups]
    paths = [fuse_once(members, method, calibrate, out, overwrite) for members in loaded]
    return compare_splits(loaded, [open_run(path) for path in paths])


def compare_splits(loaded: Sequence[Members], fused: Sequence[Run]) -> str:
    """Compare fusions of the same networks on several splits with their members.

    Args:
        loaded: the members on each split.
        fused: the run of their fusion on each.

    Returns:
        A table of mean class accuracies on the test images by split, with mean, standard
        deviation and the 95 % interval of the difference over splits; and the difference over all
        images together. The rival is the member with the best mean over the validation images of
        all splits.
    """
    networks = [without_seed(run.name) for run in loaded[0].runs]
    validated = [[validation_accuracy(run) for run in members.runs] for members in loaded]
    rival = int(np.argmax(np.mean(validated, axis=0)))
    short = list(short_names(networks).values())
    accuracies = np.array(
        [
            [run.metrics()["test"]["mean_class_accuracy"] for run in (*members.runs, ours)]
            for members, ours in zip(loaded, fused, strict=True)
        ]
    )
    legend = [f"{name}: {network}" for name, network in zip(short, networks, strict=True)]
    together = f"The fusion against {short[rival]} (the best on validation), all images together:"
    return "\n".join(
        [
            *legend,
            "",
            _table(loaded, accuracies, short, rival),
            "",
            together,
            wrap(_compare_together(loaded, fused, accuracies, rival).in_words()),
        ]
    )


def fuse_once(members: Members, method: str, calibrate: bool, out: Path, overwrite: bool) -> Path:
    """Make the run of a fusion if it isn't there; return its path."""
    path = fusion_path(out, members, method, calibrate)
    if is_complete(path) and not overwrite:
        print(f"{path}: complete already", file=sys.stderr)
    else:
        run_fusion(members, method, calibrate, path, overwrite)
    return path


def _table(
    loaded: Sequence[Members], accuracies: np.ndarray, short: Sequence[str], rival: int
) -> str:
    """Return a row for each split, and one of the means."""
    percents = 100 * accuracies
    gains = percents[:, -1] - percents[:, rival]
    rows = [
        [members.dataset["split"].split(";")[0], *(f"{value:.2f}" for value in row), f"{gain:+.2f}"]
        for members, row, gain in zip(loaded, percents, gains, strict=True)
    ]
    means = [mean_and_spread(column.tolist()) for column in percents.T]
    rows.append([f"mean, n = {len(loaded)}", *means, difference(gains.tolist(), 0.0)])
    return text_table(["split", *short, "fusion", f"gain over {short[rival]}"], rows)


def _compare_together(
    loaded: Sequence[Members], fused: Sequence[Run], accuracies: np.ndarray, rival: int
) -> Comparison:
    """Compare fusions with a member on the images of all splits.

    The interval is of the mean difference, images resampled in each split; McNemar's test counts
    an image once for each split that tests on it.
    """
    pairs, drawn = [], []
    for seed, (members, ours) in enumerate(zip(loaded, fused, strict=True)):
        runs = {"fusion": ours, "rival": members.runs[rival]}
        tests = {name: run.predictions()["test"] for name, run in runs.items()}
        _, labels, probabilities = align(tests)
        both = probabilities.argmax(axis=2)
        found = bootstrap(labels, list(both), len(members.class_names), seed=seed)
        drawn.append(np.subtract(*found["mean_class_accuracy"]))
        pairs.append((labels, *both))
    low, high = interval(np.mean(drawn, axis=0))
    means = accuracies.mean(axis=0)
    together = [np.concatenate(arrays) for arrays in zip(*pairs, strict=True)]
    gained, lost, p = mcnemar(*together)
    return Comparison(means[-1], means[rival], low, high, gained, lost, p, len(together[0]))
