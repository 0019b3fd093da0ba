"""What networks say of one image, and why: probabilities, Grad-CAM, the nearest training images."""

import dataclasses
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from tfmodels.data.images import ImageData
from tfmodels.description import data_of
from tfmodels.errors import RunError
from tfmodels.export.runtimes import Classify
from tfmodels.fusion.members import members_of
from tfmodels.grad_cam import grad_cam, overlay
from tfmodels.models.parts import BOUNDARY, feature_extractor
from tfmodels.prediction.images import Batch, read_batch
from tfmodels.prediction.networks import (
    Shape,
    classifier,
    load_network,
    predict_views,
    predictor,
    predictor_of_all,
)
from tfmodels.runs.contents import Run
from tfmodels.training.features import compute_features, unit

NEIGHBOURS = 5
MOST_PIXELS = 25_000_000  # of an image


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A training image that is near, by the cosine of its features."""

    image: np.ndarray
    label: str
    cosine: float


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a network, or several together, say of an image.

    Attributes:
        name: of the run, or of several together.
        probabilities: pairs of class and probability, the largest first.
        heat: the image under the colours of Grad-CAM for the first class; None of a fusion.
        neighbours: the nearest training images; none where the training's data aren't at hand.
    """

    name: str
    probabilities: list[tuple[str, float]]
    heat: np.ndarray | None
    neighbours: list[Neighbour]


class Explainer:
    """Runs that answer for images, one by one and together."""

    def __init__(self, runs: Sequence[Run]) -> None:
        """Load the networks of runs, a fusion's members beside it.

        Raises:
            UsageError: they have other classes, or a member of a fusion isn't where it was.
            RunError: a file of a run is missing or damaged.
        """
        self.class_names: list[str] = runs[0].config["dataset"]["class_names"]
        trainings = {one.path.resolve(): one for run in runs for one in _networks_of(run)}
        networks = {path: _Network(run) for path, run in trainings.items()}
        self.networks = list(networks.values())

        def loaded(run: Run) -> Classify:
            """Return a network that is loaded already."""
            return networks[run.path.resolve()].classify

        predict, self.shapes = predictor_of_all(list(trainings.values()), loaded)
        fusions = (run for run in runs if "members" in run.config)
        self.together = [(run.name, predictor(run, loaded)[0]) for run in fusions]
        if len(runs) > 1:
            self.together.append(("mean of all", predict))
        self._one_at_a_time = threading.Lock()

    def answer(self, path: Path) -> tuple[np.ndarray, list[Answer]]:
        """Return the image of a file as the networks see it, and what each says of it.

        Raises:
            RunError: it isn't an image that can be read.
        """
        batch = read_batch([str(path)], sorted(self.shapes), MOST_PIXELS)
        if batch.errors[0]:
            raise RunError(batch.errors[0])
        with self._one_at_a_time:  # LiteRT and OpenVINO mix up what several threads ask
            return self._answer(batch)

    def _answer(self, batch: Batch) -> tuple[np.ndarray, list[Answer]]:
        answers = [network.answer(batch.images, self.class_names) for network in self.networks]
        for name, predict in self.together:
            found = _sorted(predict(batch.images)[0], self.class_names)
            answers.append(Answer(name, found, None, []))
        return batch.images[self.networks[0].shape][0], answers


def _networks_of(run: Run) -> list[Run]:
    """Return a training, or those that a fusion is of."""
    if "members" not in run.config:
        return [run]
    return [network for member in members_of(run).runs for network in _networks_of(member)]


class _Network:
    """The network of a run, and the features of its training images."""

    def __init__(self, run: Run) -> None:
        self.run, self.name, self.shape = run, run.name, run.config["dataset"]["image_shape"]
        self.model = None if "export" in run.config else load_network(run)
        self.classify: Classify = self.model.predict_on_batch if self.model else classifier(run)
        self.extractor, self.features, self.training = None, None, None
        try:
            if self.model and BOUNDARY in {layer.name for layer in self.model.layers}:
                self.features, self.training = _training_features(run, self.model)
                self.extractor = feature_extractor(self.model)
        except RunError as error:
            print(f"{run.name}: no nearest training images ({error})", file=sys.stderr)

    def answer(self, images: dict[Shape, np.ndarray], class_names: Sequence[str]) -> Answer:
        """Return what the network says of an image."""
        image = images[self.shape]
        probabilities = predict_views(self.run, self.classify, image)[0]
        heat = None
        if self.model is not None:
            shares = grad_cam(self.model, image, probabilities.argmax(keepdims=True))
            heat = overlay(image, shares)[0]
        found = _sorted(probabilities, class_names)
        return Answer(self.name, found, heat, self._neighbours(image))

    def _neighbours(self, image: np.ndarray) -> list[Neighbour]:
        if self.training is None or self.features is None or self.extractor is None:
            return []
        own = unit(np.asarray(self.extractor(image, training=False), np.float32))
        cosines = self.features @ own[0]
        rows = np.argsort(-cosines, kind="stable")[:NEIGHBOURS]
        split, names = self.training.train, self.training.class_names
        return [
            Neighbour(
                split.images[np.array([row])][0], names[split.labels[row]], float(cosines[row])
            )
            for row in rows
        ]


def _training_features(run: Run, model: keras.Model) -> tuple[np.ndarray, ImageData]:
    """Return unit features of the training images (n, size), computed once and then kept; the data.

    Raises:
        RunError: the data aren't at hand.
    """
    data = data_of(run)
    train = compute_features(model, data).train
    return unit(train.images[np.arange(len(train))]), data


def _sorted(probabilities: np.ndarray, class_names: Sequence[str]) -> list[tuple[str, float]]:
    order = np.argsort(-probabilities, kind="stable")
    return [(class_names[i], float(probabilities[i])) for i in order]
