"""The page of a search: its trials, what matters, and how to train with the best settings."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.visualization import matplotlib as figures

from tfmodels.report import plots
from tfmodels.report.tables import text_table
from tfmodels.report.templates import TEMPLATES
from tfmodels.safe_files import write_text
from tfmodels.search.search import Search, completed, outcome, train_command, trial_path

PAGE = "search.html"
BEST = 5  # trials in the terminal
FEWEST = 4  # completed trials from which importances can be estimated
OBJECTIVE = "mean class accuracy on validation"


def write_page(search: Search, study: optuna.Study, folder: Path) -> str:
    """Write the page of a search, and return its best trials and the best's command as text."""
    best = completed(study)
    names = [dimension.name for dimension in search.space]
    rows = [
        {
            "number": trial.number + 1,
            "run": trial_path(folder, trial.number).name if trial in best else "",
            "outcome": outcome(trial),
            "values": [_short(trial.params.get(name, "")) for name in names],
            "epochs": len(trial.intermediate_values),
            "minutes": trial.duration.total_seconds() / 60 if trial.duration else None,
        }
        for trial in [*best, *(trial for trial in study.trials if trial not in best)]
    ]
    page = TEMPLATES.get_template(PAGE).render(
        folder=folder.resolve().name,
        objective=OBJECTIVE,
        sampler=search.sampler,
        names=names,
        rows=rows,
        figures=_figures(study, names) if best else {},
        command=train_command(search, best[0]) if best else "",
    )
    write_text(folder / PAGE, page)
    return "\n".join(
        [*_summary(rows[: min(BEST, len(best))], names, search, best), f"page: {folder / PAGE}"]
    )


def _summary(
    rows: list[dict[str, Any]],
    names: list[str],
    search: Search,
    best: list[optuna.trial.FrozenTrial],
) -> list[str]:
    if not best:
        return ["no trial was trained to the end"]
    table = text_table(
        ["trial", "on validation", *names],
        [[str(row["number"]), row["outcome"], *row["values"]] for row in rows],
    )
    return [table, "", f"to train with the best: {train_command(search, best[0])}"]


def _short(value: Any) -> str:
    """Return a value of a setting in a few characters."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _figures(study: optuna.Study, names: list[str]) -> dict[str, str]:
    """Return Optuna's figures as SVG, by their headings."""
    drawn: dict[str, Callable[..., Any]] = {"Best so far": figures.plot_optimization_history}
    enough = len(completed(study)) >= FEWEST and len({t.value for t in completed(study)}) > 1
    if enough and len(names) > 1:
        drawn["Importance of each setting"] = figures.plot_param_importances
        drawn["Settings and accuracy"] = figures.plot_parallel_coordinate
    try:
        return {title: plots.svg(_draw, plot, study) for title, plot in drawn.items()}
    finally:
        pyplot.close("all")  # Optuna draws by it, and it keeps all figures


def _draw(plot: Callable[..., Axes], study: optuna.Study) -> Figure:
    """Return the figure of one of Optuna's plots."""
    with warnings.catch_warnings():  # that these are experimental
        warnings.simplefilter("ignore")
        axes = plot(study, target_name=OBJECTIVE)
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.set_size_inches(8, 4.5)
    figure.set_layout_engine("tight")
    axes.set_title("")
    axes.set_title("", loc="left")
    return figure
