"""Run the trials of a search: trainings whose settings Optuna chooses, judged on validation.

A search is a folder: `search.json` says what is searched, `search.journal` holds Optuna's record of
the trials, and each trial leaves a run directory. Any number of processes, on machines that share
the folder, may work on one search, and each may be killed: what its machine had begun goes on when
the same command is given again.
"""

import contextlib
import dataclasses
import json
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from tfmodels.config import flag
from tfmodels.errors import DivergenceError, RunError, UsageError
from tfmodels.experiment import run
from tfmodels.recipes import configure
from tfmodels.runs.contents import open_run
from tfmodels.runs.directory import STATE, incomplete, is_complete
from tfmodels.runs.lock import locked
from tfmodels.safe_files import read_json, write_json
from tfmodels.search.space import Dimension, to_settings
from tfmodels.training.callbacks import clock

JOURNAL, SEARCH = "search.journal", "search.json"
SAMPLERS: dict[str, Callable[..., optuna.samplers.BaseSampler]] = {
    "tpe": optuna.samplers.TPESampler,
    "random": optuna.samplers.RandomSampler,
}
REDUCTION = 3  # of Hyperband: of three trials, one goes on
HOST, FAULT = "host", "fault"  # what is noted of a trial


@dataclasses.dataclass(frozen=True)
class Search:
    """What is searched.

    Attributes:
        space: settings that differ from trial to trial.
        settings: of all trials, as for `configure`.
        sampler: `tpe`, the tree-structured Parzen estimator (Bergstra et al. 2011), or `random`.
    """

    space: Sequence[Dimension]
    settings: Mapping[str, Any]
    sampler: str = "tpe"

    def settings_of(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return all settings of a trial with these values of its dimensions."""
        return {**self.settings, **to_settings(values)}


def run_trials(search: Search, folder: Path, trials: int) -> optuna.Study:
    """Go on with a search until it has a number of trials, and return Optuna's study.

    A trial that Hyperband (Li et al. 2018, arXiv:1603.06560) ends early, by the validation accuracy
    of its epochs, keeps `config.json` and `history.csv`; so does one whose loss explodes.

    Raises:
        UsageError: the folder holds another search, or the settings are wrong.
        RunError: data or weights can't be loaded.
        Interrupted: the user or the system wants to stop; the same call goes on.
    """
    study = open_study(search, folder)
    started = time.monotonic()
    for done, trial in enumerate(_next_trials(study, folder, trials), 1):
        study.sampler = SAMPLERS[search.sampler](seed=_seed(search, trial.number))
        print(f"\ntrial {trial.number + 1} of {trials}", file=sys.stderr)
        _run_trial(study, trial, search, folder)
        keras.backend.clear_session()
        left = max(trials - len(_finished(study)), 0)
        seconds = (time.monotonic() - started) / done * left
        print(f"{_describe(study, trial.number)}  {clock(seconds)} left", file=sys.stderr)
    return study


def open_study(search: Search, folder: Path) -> optuna.Study:
    """Open the study of a search, or begin it.

    Raises:
        UsageError: the folder holds another search, or files of something else.
        RunError: what it holds is damaged.
    """
    asked = {
        "space": [dataclasses.asdict(dimension) for dimension in search.space],
        "settings": dict(search.settings),
        "sampler": search.sampler,
    }
    asked = json.loads(json.dumps(asked))  # lists for tuples, as in the file
    if (folder / SEARCH).exists():
        found = read_json(folder / SEARCH, dict[str, Any])
        changed = [key for key, value in asked.items() if found.get(key) != value]
        if changed:
            raise UsageError(
                f"{folder} is a search of other {' and '.join(changed)}: choose another `out`"
            )
    else:
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} holds something else than a search: choose another `out`")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / SEARCH, asked)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    epochs = configure(**search.settings).epochs
    backend = JournalFileBackend(str(folder / JOURNAL))
    try:
        return optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            pruner=optuna.pruners.HyperbandPruner(1, epochs, REDUCTION),
            study_name="search",
            direction="maximize",
            load_if_exists=True,
        )
    except (ValueError, KeyError) as error:  # as its reader raises them
        raise RunError(f"{folder / JOURNAL} is damaged ({error}): remove {folder}") from error


def _next_trials(study: optuna.Study, folder: Path, trials: int) -> Iterator[optuna.Trial]:
    """Yield trials that are locked meanwhile: those that this machine left, then new ones."""
    host = socket.gethostname()
    for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if left.user_attrs.get(HOST) == host:
            with contextlib.suppress(UsageError), locked(_claim(folder, left.number)):
                if study.trials[left.number].state == TrialState.RUNNING:
                    yield optuna.Trial(study, left._trial_id)
    while len(study.get_trials(deepcopy=False)) < trials:
        trial = study.ask()
        with locked(_claim(folder, trial.number)):
            trial.set_user_attr(HOST, host)  # from now on it is known whose it is
            yield trial


def trial_path(folder: Path, number: int) -> Path:
    """Return the path of a trial's run directory; Optuna counts from 0, we from 1."""
    return folder / f"trial-{number + 1:03}"


def _claim(folder: Path, number: int) -> Path:
    """Return what is locked for a trial, beside the lock that its run has itself."""
    return folder / f"{trial_path(folder, number).name}.claim"


def _seed(search: Search, number: int) -> int:
    """Return a seed for the choice of one trial: a search that goes on doesn't repeat choices."""
    return int(search.settings.get("seed", 0)) * 100_003 + number


def _run_trial(study: optuna.Study, trial: optuna.Trial, search: Search, folder: Path) -> None:
    """Choose the settings of a trial, train and judge it, and tell the study."""
    values = {dimension.name: dimension.suggest(trial) for dimension in search.space}
    path = trial_path(folder, trial.number)
    try:
        config = configure(**search.settings_of(values))
        config.check_files()
    except UsageError as error:  # settings that don't go together
        trial.set_user_attr(FAULT, str(error))
        study.tell(trial, state=TrialState.FAIL)
        return
    try:
        if not is_complete(path):
            run(config, out=folder, name=path.name, callbacks=[_Reports(trial, config.epochs)])
    except (optuna.TrialPruned, DivergenceError) as error:
        trial.set_user_attr(FAULT, str(error))
        _shrink(incomplete(path))
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, open_run(path).metrics()["val"]["mean_class_accuracy"])


class _Reports(keras.callbacks.Callback):
    """Tell Optuna the validation accuracy of each epoch, and end a trial that isn't promising."""

    def __init__(self, trial: optuna.Trial, epochs: int) -> None:
        super().__init__()
        self.trial, self.epochs = trial, epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Report, and perhaps end the trial, but not after its last epoch."""
        self.trial.report((logs or {})["val_accuracy"], epoch + 1)
        if epoch + 1 < self.epochs and self.trial.should_prune():
            raise optuna.TrialPruned(f"ended after epoch {epoch + 1} of {self.epochs}")


def _shrink(work: Path) -> None:
    """Remove what takes space in the folder of a run that won't go on."""
    (work / STATE).unlink(missing_ok=True)
    for name in ("tensorboard", "head"):
        shutil.rmtree(work / name, ignore_errors=True)
    for name in ("model.keras", "best.keras"):
        (work / name).unlink(missing_ok=True)


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    trials: list[FrozenTrial] = study.get_trials(deepcopy=False, states=states)
    return trials


def completed(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that were trained to the end, the best first."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(trials, key=lambda trial: -(trial.value or 0))


def values_in_words(trial: FrozenTrial) -> str:
    """Return what a trial tried, such as "lr 0.0023, model vgg"."""
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in trial.params.items()
    )


def outcome(trial: FrozenTrial) -> str:
    """Return what came of a trial, in a few words."""
    if trial.state == TrialState.COMPLETE:
        return f"{100 * (trial.value or 0):.2f} %"
    if trial.state == TrialState.RUNNING:
        return "running"
    return str(trial.user_attrs.get(FAULT, "failed"))


def _describe(study: optuna.Study, number: int) -> str:
    trial, (best, *_) = study.trials[number], [*completed(study), None]
    text = f"trial {number + 1}: {outcome(trial)}, {values_in_words(trial)}"
    return f"{text}; best {outcome(best)}, trial {best.number + 1}" if best else text


def train_command(search: Search, trial: FrozenTrial) -> str:
    """Return the command that trains with the settings of a trial."""
    words = ["tfmodels", "train"]
    for name, value in search.settings_of(trial.params).items():
        if isinstance(value, bool):
            words.append(flag(name) if value else flag(name).replace("--", "--no-", 1))
        elif value is not None:
            words += [flag(name), str(value)]
    return shlex.join(words)
