"""Results of a run from its saved predictions, without the network or the data set."""

from pathlib import Path

from tfmodels.evaluation import evaluate
from tfmodels.report import plots
from tfmodels.report.page import write_report
from tfmodels.runs.directory import write_json
from tfmodels.runs.predictions import load_predictions


def write_results(run: Path) -> None:
    """Write a run's metrics.json, its figures of results, and report.html."""
    splits, class_names = load_predictions(run / "predictions.npz")
    metrics = {
        name: evaluate(split.labels, split.probabilities, class_names)
        for name, split in splits.items()
    }
    write_json(run / "metrics.json", metrics)
    figures = run / "figures"
    figures.mkdir(exist_ok=True)
    test = splits["test"]
    plots.save(
        plots.confusion_matrix(metrics["test"]["confusion_matrix"], class_names),
        figures / "confusion_matrix.png",
    )
    plots.save(plots.reliability(test.labels, test.probabilities), figures / "reliability.png")
    if (run / "history.csv").exists():  # not in a fusion
        plots.save(plots.loss_curve(run / "history.csv"), figures / "loss_curve.png")
    write_report([run], run / "report.html")
