from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfmodels.report.results import write_results
from tfmodels.safe_files import read_json


def test_results_are_made_again_from_the_predictions(make_run: Callable[..., Path]) -> None:
    run = make_run(skill=1.0)
    metrics = read_json(run / "metrics.json", dict[str, Any])
    (run / "metrics.json").unlink()
    write_results(run)
    assert read_json(run / "metrics.json", dict[str, Any]) == metrics
    figures = {file.name for file in (run / "figures").iterdir()}
    assert figures == {"confusion_matrix.png", "reliability.png", "loss_curve.png"}
    assert (run / "report.html").exists()


def test_without_a_history_there_is_no_loss_curve(make_run: Callable[..., Path]) -> None:
    run = make_run()
    (run / "history.csv").unlink()
    write_results(run)
    assert not (run / "figures" / "loss_curve.png").exists()
