"""Run the trials of a search: trainings whose settings Optuna chooses, judged on validation.

A search is a folder: `search.json` says what is searched, `search.journal` holds Optuna's record of
the trials, and each trial leaves a run directory. Any number of processes, on machines that share
the folder, may work on one search, and each may be killed: the trial that it had begun goes on when
the same command is given again, or when another process has no new trials to begin.
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

from tfmodels.config import SOURCES, flag
from tfmodels.errors import DivergenceError, RunError, UsageError
from tfmodels.experiment import run
from tfmodels.recipes import configure
from tfmodels.runs.contents import open_run
from tfmodels.runs.directory import STATE, incomplete, is_complete
from tfmodels.runs.lock import locked
from tfmodels.safe_files import PART, read_json, write_json
from tfmodels.search.space import DECIDING_EPOCHS, Dimension, to_settings
from tfmodels.training.callbacks import clock

JOURNAL, SEARCH = "search.journal", "search.json"
SAMPLERS: dict[str, Callable[..., optuna.samplers.BaseSampler]] = {
    "tpe": optuna.samplers.TPESampler,
    "random": optuna.samplers.RandomSampler,
}
REDUCTION = 3  # of Hyperband: of three trials, one goes on
HOST, FAULT = "host", "fault"  # what is noted of a trial
EXHAUSTED = "ResourceExhaustedError", "RESOURCE_EXHAUSTED"  # memory, on TensorFlow and on JAX


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

    @property
    def epochs(self) -> int:
        """Of each trial."""
        named = {name: value for name, value in self.settings.items() if name in DECIDING_EPOCHS}
        return configure(**named).epochs

    def settings_of(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return all settings of a trial with these values of its dimensions."""
        return {**self.settings, **to_settings(values)}


def run_trials(
    search: Search,
    folder: Path,
    trials: int,
    after_each: Callable[[optuna.Study], object] = lambda study: None,
) -> optuna.Study:
    """Go on with a search until it has a number of trials, and return Optuna's study.

    A trial that Hyperband (Li et al. 2018, arXiv:1603.06560) ends early, by the validation accuracy
    of its epochs, keeps `config.json` and `history.csv`. One whose loss explodes counts as ended
    early; one that can't be trained with its settings, or in this memory, as failed.

    Args:
        search: what is searched.
        folder: of the search.
        trials: how many there are to be, of all processes and with those that are there.
        after_each: called with the study after each trial.

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
        left = max(trials - len(study.trials) + len(running(study)), 0)
        seconds = (time.monotonic() - started) / done * left
        print(f"{_describe(study, trial.number)}  {clock(seconds)} left", file=sys.stderr)
        after_each(study)
    return study


def open_study(search: Search, folder: Path) -> optuna.Study:
    """Open the study of a search, or begin it.

    Raises:
        UsageError: the folder holds another search, or files of something else.
        RunError: what it holds is damaged.
    """
    asked = {
        "space": [dataclasses.asdict(dimension) for dimension in search.space],
        "settings": {k: v for k, v in search.settings.items() if k not in SOURCES},
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
        others = folder.iterdir() if folder.exists() else ()
        if any(not path.name.startswith(PART) for path in others):
            raise UsageError(f"{folder} holds something else than a search: choose another `out`")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / SEARCH, asked)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    backend = JournalFileBackend(str(folder / JOURNAL))
    try:
        return optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            pruner=optuna.pruners.HyperbandPruner(1, search.epochs, REDUCTION),
            study_name="search",
            direction="maximize",
            load_if_exists=True,
        )
    except (ValueError, KeyError) as error:  # as its reader raises them
        raise RunError(f"{folder / JOURNAL} is damaged ({error}): remove {folder}") from error


def _next_trials(study: optuna.Study, folder: Path, trials: int) -> Iterator[optuna.Trial]:
    """Yield trials that are locked meanwhile: what this machine left, new ones, what others left.

    The lock of a trial tells whether it is being trained; of another machine's that takes a while.
    """
    host = socket.gethostname()
    yield from _left_trials(study, folder, lambda trial: trial.user_attrs.get(HOST) == host)
    while len(study.get_trials(deepcopy=False)) < trials:
        trial = study.ask()
        with contextlib.suppress(UsageError), locked(_claim(folder, trial.number)):
            trial.set_user_attr(HOST, host)
            yield trial
    yield from _left_trials(study, folder, lambda trial: True)


def _left_trials(
    study: optuna.Study, folder: Path, chosen: Callable[[FrozenTrial], bool]
) -> Iterator[optuna.Trial]:
    for left in running(study):
        if chosen(left):
            with contextlib.suppress(UsageError), locked(_claim(folder, left.number)):
                if study.trials[left.number].state == TrialState.RUNNING:
                    yield optuna.Trial(study, left._trial_id)


def trial_path(folder: Path, number: int) -> Path:
    """Return the path of a trial's run directory; Optuna counts from 0, we from 1."""
    return folder / f"trial-{number + 1:03}"


def _claim(folder: Path, number: int) -> Path:
    """Return what is locked for a trial, beside the lock that its run has itself."""
    return folder / f"{trial_path(folder, number).name}.claim"


def _seed(search: Search, number: int) -> int:
    """Return a seed for the choice of one trial: a search that goes on doesn't repeat choices."""
    return (int(search.settings.get("seed", 0)) * 100_003 + number) % 2**32


def _run_trial(study: optuna.Study, trial: optuna.Trial, search: Search, folder: Path) -> None:
    """Choose the settings of a trial, train and judge it, and tell the study."""
    values = {dimension.name: dimension.suggest(trial) for dimension in search.space}
    path = trial_path(folder, trial.number)
    try:
        config = configure(**search.settings_of(values))
        if not is_complete(path):
            # The epochs of two stages don't compare, so their trials aren't ended early.
            one_stage = config.trainable != "head-then-all"
            callbacks = [_Reports(trial, config.epochs)] if one_stage else []
            run(config, out=folder, name=path.name, callbacks=callbacks)
    except (optuna.TrialPruned, DivergenceError) as error:
        trial.set_user_attr(FAULT, str(error))
        _shrink(incomplete(path))
        study.tell(trial, state=TrialState.PRUNED)
    except Exception as error:
        exhausted = any(word in f"{type(error).__name__} {error}" for word in EXHAUSTED)
        if not (exhausted or isinstance(error, RunError)):  # a defect of ours
            raise
        trial.set_user_attr(FAULT, "the memory is too small" if exhausted else str(error))
        study.tell(trial, state=TrialState.FAIL)
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


def running(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that processes are at, or were when they ended."""
    trials: list[FrozenTrial] = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
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
