"""EuroSAT RGB, and how to get it when its own host fails, as it often does.

27,000 Sentinel-2 pictures of 64x64 pixels in ten classes of land cover: Helber et al. 2019
(arXiv:1709.00029), MIT licence.
"""

import contextlib
import io
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tfmodels.data.augmentation import turn_shift_brighten
from tfmodels.data.images import (
    READ_CONFIG,
    ImageData,
    check_limit,
    download_by_tfds,
    open_builder,
    read_split,
    sample_builder,
)
from tfmodels.data.sample import EUROSAT_SAMPLE
from tfmodels.data.splits import describe_split, named_split
from tfmodels.download import download
from tfmodels.errors import RunError, UsageError

NAME = "eurosat/rgb"
MIRROR = "https://huggingface.co/datasets/torchgeo/eurosat/resolve/main/EuroSAT.zip"
PICTURES = 27_000
_MEMBER = re.compile(r"(?:.*/)?([A-Za-z]+)/(\1_[0-9]+\.jpg)")


def prepare(
    data_dir: str | os.PathLike | None = None, archive: Path | None = None
) -> tfds.core.DatasetBuilder:
    """Find EuroSAT prepared in the folder, or prepare it there.

    In this order: what is prepared already; an archive given; TFDS' own download; the mirror,
    whose file must have the checksum that TFDS records.

    Args:
        data_dir: folder of prepared TFDS data sets; None is TFDS' own.
        archive: a EuroSAT.zip.

    Raises:
        UsageError: the archive is no zip file of EuroSAT.
        RunError: every way failed; the message says what was tried and why it failed.
    """
    builder = open_builder(NAME, data_dir)
    if builder.is_prepared():
        return builder
    if archive is not None:
        _store(archive, builder)
        return tfds.builder(NAME, data_dir=data_dir)
    tried = []
    for source, attempt in (("TFDS' source", download_by_tfds), (MIRROR, _download_mirror)):
        try:
            attempt(builder)
            return tfds.builder(NAME, data_dir=data_dir)
        except Exception as error:  # as many kinds as there are ways to fail to download
            tried.append(f"{source} ({type(error).__name__}: {error})")
    raise RunError(
        f"EuroSAT is not prepared in {builder.data_dir} and could not be downloaded. Tried: "
        f"{'; '.join(tried)}. Name a folder that holds it with --data-dir, or a EuroSAT.zip with "
        "--archive"
    )


def _download_mirror(builder: tfds.core.DatasetBuilder) -> None:
    recorded = builder.url_infos[builder.builder_config.download_url]
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "EuroSAT.zip"
        download(MIRROR, archive, recorded.checksum)
        _store(archive, builder)


def _store(archive: Path, builder: tfds.core.DatasetBuilder) -> None:
    """Prepare the data set from a zip file, without unpacking it to disk."""
    try:
        file = zipfile.ZipFile(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise UsageError(f"{archive} can't be read as a zip file ({error})") from error
    with file, contextlib.redirect_stdout(sys.stderr):
        members = _members(archive, file)
        damaged = file.testzip()
        if damaged is not None:
            raise UsageError(f"{archive} is damaged: its member {damaged} has a wrong checksum")
        tfds.dataset_builders.store_as_tfds_dataset(
            name="eurosat",
            config="rgb",
            version=str(builder.version),
            data_dir=Path(builder.data_dir).parents[2],
            features=builder.info.features,
            split_datasets={"train": _examples(file, members)},
        )


def _examples(
    file: zipfile.ZipFile, members: list[tuple[str, str, str]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for member, label, filename in members:
        image = io.BytesIO(file.read(member))  # the JPEG itself is stored, as TFDS does
        # TFDS' own keys, so the stored order is the same too.
        yield f"{label}_{filename}", {"image": image, "label": label, "filename": filename}


def _members(archive: Path, file: zipfile.ZipFile) -> list[tuple[str, str, str]]:
    """The pictures of an archive as (member, class, file name)."""
    leaving = [n for n in file.namelist() if n.startswith(("/", "\\")) or ".." in Path(n).parts]
    if leaving:
        raise UsageError(f"{archive} holds {leaving[0]!r}, which leads out of a folder: refused")
    matches = [match for name in file.namelist() if (match := _MEMBER.fullmatch(name))]
    found = [(match[0], match[1], match[2]) for match in matches]
    if len(found) != PICTURES:
        raise UsageError(
            f"{archive} holds {len(found)} pictures of EuroSAT, not {PICTURES}: download it anew"
        )
    return found


def load_eurosat(
    name: str = "eurosat",
    data_dir: str | os.PathLike | None = None,
    seed: int = 0,
    limit: int | None = None,
    split: str | Path = "random",
    archive: Path | None = None,
) -> ImageData:
    """Load EuroSAT, or the sample that stands in for it, and split it by name.

    The ids are the file names, in every split; the pictures are in stored order.

    Args:
        name: `eurosat` or `sample`.
        data_dir: folder of prepared TFDS data sets; None is TFDS' own, for the sample
            ~/.cache/tfmodels.
        seed: of the random split.
        limit: use only this many training examples, the first ones.
        split: see `splits.named_split`.
        archive: a EuroSAT.zip to prepare it from, where it isn't prepared.

    Raises:
        UsageError: limit beyond the training split, an archive or lists that can't be right.
        RunError: the data or the lists can't be had, or are damaged.
    """
    if name == "sample":
        builder = sample_builder(EUROSAT_SAMPLE, data_dir)
    else:
        builder = prepare(data_dir, archive)
    features = builder.info.features
    stored = builder.as_dataset(
        split="train", decoders={"image": tfds.decode.SkipDecoding()}, read_config=READ_CONFIG
    ).cache()  # the encoded pictures, read from disk once for the three splits
    examples = read_split(builder, stored, "filename")
    names, class_names = examples.ids, tuple(features["label"].names)
    classes = {file: class_names[label] for file, label in zip(names, examples.labels, strict=True)}
    parts = named_split(split, classes, seed)
    check_limit(limit, name, len(parts["train"]))

    def read(part: str) -> tf.data.Dataset:
        """The examples of one part, by their names."""
        chosen = tf.constant(np.isin(names, parts[part]))
        return (
            stored.enumerate()
            .filter(lambda index, _: chosen[index])
            .map(
                lambda _, example: (
                    example | {"image": features["image"].decode_example(example["image"])}
                ),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
        )

    return ImageData(
        name=name,
        version=str(builder.version),
        class_names=class_names,
        image_shape=features["image"].shape,
        train=read_split(builder, read("train").take(limit or -1), "filename"),
        val=read_split(builder, read("val"), "filename"),
        test=read_split(builder, read("test"), "filename"),
        split=describe_split(split, seed, leaks=name == "eurosat"),
        augment=turn_shift_brighten,
    )
