"""Results of a run from its saved predictions, without the network or the data set."""

from pathlib import Path

from tfmodels.report import plots
from tfmodels.report.page import write_report
from tfmodels.runs.contents import open_unfinished
from tfmodels.safe_files import write_json


def write_results(run: Path) -> None:
    """Write the metrics.json, figures of results and report.html of a run that isn't complete."""
    opened = open_unfinished(run)
    metrics, class_names = opened.metrics(), opened.config["dataset"]["class_names"]
    cost = {key: opened.config[key] for key in ("training_flop",) if key in opened.config}
    write_json(run / "metrics.json", metrics | cost)
    figures = run / "figures"
    figures.mkdir(exist_ok=True)
    test = opened.predictions()["test"]
    plots.save(
        plots.confusion_matrix(metrics["test"]["confusion_matrix"], class_names),
        figures / "confusion_matrix.png",
    )
    plots.save(plots.reliability(test.labels, test.probabilities), figures / "reliability.png")
    if (run / "history.csv").exists():  # not in a fusion
        plots.save(plots.loss_curve(run / "history.csv"), figures / "loss_curve.png")
    write_report([opened], run / "report.html")
