"""The page `index.html` of a folder of runs: all in a table, with links to their reports."""

import os
import sys
from pathlib import Path
from typing import Any

from tfmodels.errors import RunError
from tfmodels.report.templates import TEMPLATES
from tfmodels.runs.contents import INDEX, is_run, open_run
from tfmodels.runs.formats import SavedMetrics
from tfmodels.safe_files import open_file, read_json, write_text

LARGEST_HEAD = 2**12  # bytes in which that is
OURS = '<meta name="generator" content="tfmodels">'  # in pages that may be replaced


def write_index(folder: Path) -> None:
    """Write the page of a folder's complete runs; a page of that name that isn't ours stays.

    Runs that are damaged are named with what is wrong.
    """
    path = folder / INDEX
    if os.path.lexists(path) and not _is_ours(path):
        print(f"{path} is of something else: the runs aren't listed there", file=sys.stderr)
        return
    rows = [_row(run) for run in sorted(filter(is_run, folder.iterdir()))]
    page = TEMPLATES.get_template(INDEX).render(folder=folder.resolve().name, rows=rows, ours=OURS)
    write_text(path, page)


def _is_ours(path: Path) -> bool:
    try:
        with open_file(path) as file:
            return OURS.encode() in file.read(LARGEST_HEAD)
    except (RunError, OSError):
        return False


def _row(path: Path) -> dict[str, Any]:
    try:
        run = open_run(path)
        metrics = read_json(run.file("metrics.json"), SavedMetrics)
        seconds = run.training_seconds()
    except (RunError, OSError) as error:
        return {"name": path.name, "fault": str(error)}
    config, settings = run.config, run.config["settings"]
    own = settings.get("model") or config.get("model", {}).get("name")
    network = own if "model" in config else f"fusion, {settings.get('method')}"
    return {
        "name": path.name,
        "fault": "",
        "data": config["dataset"]["name"],
        "network": network,
        "recipe": settings.get("recipe") or "",
        "seed": settings.get("seed", ""),
        "epochs": settings.get("epochs", ""),
        "validation": metrics["val"]["mean_class_accuracy"] if "val" in metrics else None,
        "test": metrics["test"]["mean_class_accuracy"],
        "flop": config.get("training_flop"),
        "minutes": seconds / 60 if "model" in config else None,
        "ended": config.get("ended", "")[:16].replace("T", " "),
    }
