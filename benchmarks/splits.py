"""Print each class's recall over runs of one network on several splits.

    python train_eurosat.py --recipe tuned --weights FILE --seeds 0 1 2 3 4
    python -m benchmarks.splits runs/eurosat_tuned_*

Mean, standard deviation and range over the splits, and with which class each is most confused on
how many of them.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfmodels.report.tables import markdown_table
from tfmodels.runs.contents import find_runs, open_run


def main() -> None:
    """Read the runs and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    runs = [open_run(path) for path in find_runs(parser.parse_args().runs)]
    matrices = [run.metrics()["test"]["confusion_matrix"] for run in runs]
    print(table(np.array(matrices), runs[0].config["dataset"]["class_names"]))


def table(counts: np.ndarray, class_names: Sequence[str]) -> str:
    """Return the table of confusion matrices (n_splits, classes, classes)."""
    shares = counts / counts.sum(axis=2, keepdims=True)
    rows = []
    for i, name in enumerate(class_names):
        recall = 100 * shares[:, i, i]
        others = np.delete(np.arange(len(class_names)), i)
        confused = others[shares[:, i, others].argmax(axis=1)].tolist()
        most_first = sorted(set(confused), key=lambda other: -confused.count(other))
        with_what = "; ".join(
            f"{class_names[other]} {confused.count(other)}" for other in most_first
        )
        spread = f"{recall.mean():.2f} ± {recall.std(ddof=1):.2f}"
        extent = f"{recall.min():.2f} to {recall.max():.2f}"
        rows.append([f"{i} {name}", spread, extent, with_what])
    header = ["class", "recall, %", "range", f"most confused with (of {len(counts)} splits)"]
    return markdown_table(header, rows)


if __name__ == "__main__":
    main()
