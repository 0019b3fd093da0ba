"""Features of images, computed once by a network whose weights stay, to train its head on.

They are kept on disk and shared by all runs and split schemes that have the same images and the
same feature extractor.
"""

import dataclasses
import hashlib
import re
from collections.abc import Iterator

import keras
import numpy as np

from tfmodels.data.images import ImageData, Selected, Split
from tfmodels.data.splits import SPLITS
from tfmodels.data.store import Examples, open_store
from tfmodels.models.parts import feature_extractor, weights_checksum

BATCH = 256  # images at a time through the feature extractor


def compute_features(model: keras.Model, data: ImageData) -> ImageData:
    """Return the data with the features of its images in their place, (n, size) float32.

    They are computed where they aren't on disk, in `cache_dir()/features`, under a key of all
    that makes them: images, preprocessing, image size, weights and backend.
    """
    extractor = feature_extractor(model)
    splits: dict[str, Split] = {part: getattr(data, part) for part in SPLITS}
    ids = np.concatenate([split.ids for split in splits.values()])

    def compute() -> Iterator[Examples]:
        """Compute the features of all images, split by split."""
        for part, split in splits.items():
            for start in range(0, len(split), BATCH):
                rows = np.arange(start, min(start + BATCH, len(split)))
                features = np.asarray(extractor.predict_on_batch(split.images[rows]), np.float32)
                parts = np.full(len(rows), part)
                yield Examples(features, split.ids[rows], split.labels[rows], parts)

    store = open_store(
        f"features-{model.name}",
        _key(extractor, data.checksum, ids),
        (len(ids), extractor.output_shape[1]),
        compute,
        np.float32,
    )
    order = np.argsort(store.ids)

    def with_features(split: Split) -> Split:
        """Find the features of a split by the ids of its images."""
        rows = order[np.searchsorted(store.ids, split.ids, sorter=order)]
        return Split(Selected(store.images, rows), split.ids, split.labels)

    return dataclasses.replace(
        data,
        train=with_features(data.train),
        val=with_features(data.val),
        test=with_features(data.test),
    )


def unit(features: np.ndarray) -> np.ndarray:
    """Return features (n, size) of length 1, whose products are cosines."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    units: np.ndarray = features / np.maximum(norms, 1e-12)
    return units


def _key(extractor: keras.Model, checksum: str, ids: np.ndarray) -> str:
    # Keras numbers what has no name of its own by how many it has made: not part of the content.
    config = re.sub(r"(input_layer|functional)(_\d+)?", r"\1", extractor.to_json())
    weights = weights_checksum(extractor)
    parts = [keras.backend.backend(), config, weights, checksum, *sorted(ids.tolist())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
