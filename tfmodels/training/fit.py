"""Train a network in stages, and predict with it."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from sklearn.utils import compute_class_weight
from tqdm import tqdm

from tfmodels.config import Config
from tfmodels.data.images import ImageData, Split
from tfmodels.data.pipeline import evaluation_batches, steps_per_epoch, training_batches
from tfmodels.data.threads import plain_errors
from tfmodels.data.views import average_views
from tfmodels.errors import DivergenceError, RunError
from tfmodels.models.flop import training_flop
from tfmodels.models.parts import classifier_head
from tfmodels.safe_files import checksum
from tfmodels.training.batch_norm import fused_batch_norms
from tfmodels.training.callbacks import (
    KEPT,
    Checkpoint,
    LossCheck,
    Progress,
    Resume,
    StepDecay,
    TensorBoardLogs,
)
from tfmodels.training.distribution import current_share
from tfmodels.training.features import compute_features
from tfmodels.training.interruption import stop_requests
from tfmodels.training.optimizers import build_loss, build_optimizer
from tfmodels.training.state import State, read_state


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of a training: a network and the data it learns from.

    The network may be a part of the model: the classifier head, which learns from features.

    Attributes:
        number: of the stage, from 0.
        name: for progress; empty where there is one stage only.
        network: that is trained.
        data: that it learns from.
        folder: where `history.csv`, `model.keras`, `best.keras` and `tensorboard/` are kept.
    """

    number: int
    name: str
    network: keras.Model
    data: ImageData
    folder: Path


def train_model(
    model: keras.Model,
    data: ImageData,
    config: Config,
    directory: Path,
    start: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Stage:
    """Train a model in the stages that `config.trainable` names.

    Where the directory holds the state of an interrupted training, it goes on from there.

    Args:
        model: takes raw pixels, 0 to 255, and returns probabilities.
        data: images and splits.
        config: how to train.
        directory: where to keep the state and what a stage leaves; an earlier stage leaves it
            in a folder named after it.
        start: what the weights came from, as a number. Together with seed and stage it makes
            the order of images, so that training further from given weights doesn't repeat it.
        callbacks: further ones, called after ours.

    Returns:
        The last stage, whose network and data give the predictions.

    Raises:
        DivergenceError: the loss is no number any more, or has exploded.
        Interrupted: the user or the system wants to stop.
    """
    stages = list_stages(model, data, config.trainable, directory)
    reached = read_state(directory)
    for stage in stages[reached.stage if reached else 0 :]:
        stage.folder.mkdir(exist_ok=True)
        fit_stage(stage, model, config, directory, start, callbacks)
    return stages[-1]


def list_stages(
    model: keras.Model, data: ImageData, trainable: str, directory: Path
) -> list[Stage]:
    """Return the stages of a training: of `all` layers, the `head`, or `head-then-all`."""
    if trainable == "all":
        return [Stage(0, "", model, data, directory)]
    head, features = classifier_head(model), compute_features(model, data)
    if trainable == "head":
        return [Stage(0, "", head, features, directory)]
    return [
        Stage(0, "head", head, features, directory / "head"),
        Stage(1, "all", model, data, directory),
    ]


def count_flop(model: keras.Model, data: ImageData, trainable: str, directory: Path) -> int | None:
    """Return the FLOP of the finished training of a run directory, if the network has them."""
    folders = [directory / "head"] * (trainable == "head-then-all") + [directory]
    epochs = [len((folder / "history.csv").read_text().splitlines()) - 1 for folder in folders]
    return training_flop(model, trainable, len(data.train), epochs)


@plain_errors()
def fit_stage(
    stage: Stage,
    model: keras.Model,
    config: Config,
    directory: Path,
    start: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Train the network of one stage, from the state in the directory if that is of this stage.

    Afterwards the model has the weights of the last epoch, or of the best with early stopping.

    Raises:
        DivergenceError: the loss is no number any more, or has exploded.
        Interrupted: the user or the system wants to stop.
    """
    network, train = stage.network, stage.data.train
    steps, share = steps_per_epoch(train, config.batch_size), current_share()
    _compile(network, config, steps, weighted=share is not None)
    state = _find_state(stage, directory)
    evaluation = evaluation_batches(stage.data.val, share=share)
    if state.step:  # Keras makes the variables of metrics, which the state has, at their first use
        network.test_on_batch(*next(evaluation.as_numpy_iterator()))
    # Features aren't images, so only the whole model learns from varied ones.
    augment = stage.data.augment if config.augment and network is model else None
    seed = (config.seed, start, stage.number)
    with stop_requests() as request:
        checkpoint = Checkpoint(model, network, state, directory, stage.folder, request, config)
        while not state.is_finished(config.epochs, config.early_stopping):
            # What is left of an epoch has fewer steps, and Keras has one number for all epochs.
            end = state.epoch + 1 if state.step else config.epochs
            done = state.epoch * steps + state.step
            progress = Progress(stage.name, state, config.epochs, steps)
            try:
                with fused_batch_norms(network):
                    network.fit(
                        training_batches(train, config.batch_size, seed, end, done, augment, share),
                        validation_data=evaluation,
                        initial_epoch=state.epoch,
                        epochs=end,
                        steps_per_epoch=steps - state.step,  # the pipeline runs through all epochs
                        shuffle=False,  # and has an order of its own
                        class_weight=_class_weights(train) if config.class_weights else None,
                        callbacks=[*_callbacks(stage, config, checkpoint), progress, *callbacks],
                        verbose=0,
                    )
            except DivergenceError:
                if state.history and (share is None or share.processes == 1):
                    checkpoint.finish(best_only=False)
                raise
            finally:
                progress.on_train_end()  # Keras doesn't call it after an error
        checkpoint.finish(best_only=config.early_stopping is not None)
        request.stop("after the last epoch")
    if config.early_stopping:
        best = state.history[state.best_epoch()]
        accuracy = f"val {100 * best['val_accuracy']:.1f}"
        print(f"kept epoch {best['epoch']} of {state.epoch}, {accuracy}", file=sys.stderr)


def _compile(network: keras.Model, config: Config, steps: int, weighted: bool) -> None:
    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    network.compile(
        optimizer=build_optimizer(config, steps),
        loss=build_loss(config, "mean_with_sample_weight" if weighted else "sum_over_batch_size"),
        **{"weighted_metrics" if weighted else "metrics": [accuracy]},
    )
    network.optimizer.build(network.trainable_variables)


def _find_state(stage: Stage, directory: Path) -> State:
    """Return the state from which a stage goes on, a new one if there is none of it.

    Raises:
        RunError: what an earlier stage kept isn't as it was.
    """
    state = read_state(directory)
    if state is None or state.stage != stage.number:
        kept = [directory / "head" / name for name in KEPT] if stage.number else []
        return State(
            stage.number,
            earlier={path.relative_to(directory).as_posix(): checksum(path) for path in kept},
        )
    for name, digest in state.earlier.items():
        if checksum(directory / name) != digest:
            raise RunError(
                f"{directory / name} isn't as it was kept: it was damaged or changed; start over "
                "with `overwrite=True`"
            )
    return state


def _callbacks(
    stage: Stage, config: Config, checkpoint: Checkpoint
) -> list[keras.callbacks.Callback]:
    state = checkpoint.state
    begun = state.epoch or state.step
    return [
        *([Resume(state.epoch, checkpoint.restore)] if begun else []),
        *([StepDecay(config.lr, config.step_size, config.gamma)] * (config.schedule == "step")),
        LossCheck(state),
        TensorBoardLogs(stage.folder / "tensorboard", write_graph=False),
        checkpoint,
    ]


@plain_errors()
def predict(
    network: keras.Model, split: Split, name: str = "", views: str = "single"
) -> np.ndarray:
    """Return class probabilities (n, classes) float32 of a split, in its order.

    Args:
        network: takes what the split has, and returns probabilities.
        split: the images.
        name: of the split, for progress.
        views: of each image over which the probabilities are averaged; see `data.views`.
    """
    if not sys.stderr.isatty():  # where no bar is drawn
        print(f"predicting {name}: {len(split):,} images", file=sys.stderr)
    batches = evaluation_batches(split)
    options = {"ncols": 79, "leave": False, "unit": "batch", "disable": None}
    progress = tqdm(batches.as_numpy_iterator(), name, len(batches), **options)
    return np.concatenate(
        [average_views(network.predict_on_batch, images, views) for images, _ in progress]
    )


def _class_weights(split: Split) -> dict[int, float]:
    classes = np.unique(split.labels)
    weights = compute_class_weight("balanced", classes=classes, y=split.labels)
    return dict(zip(classes.tolist(), weights.tolist(), strict=True))
