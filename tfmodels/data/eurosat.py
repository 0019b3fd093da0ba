"""EuroSAT RGB, and how to get it when its own host fails, as it often does.

27,000 Sentinel-2 images of 64x64 pixels in ten classes of land cover: Helber et al. 2019
(arXiv:1709.00029), MIT licence.
"""

import contextlib
import io
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from PIL import Image

from tfmodels.config import Config
from tfmodels.data.augmentation import turn_shift_brighten
from tfmodels.data.images import ImageData, Split
from tfmodels.data.splits import describe_split, left_out, named_split
from tfmodels.data.tfds import Layout, download_by_tfds, open_builder, preparing, read_builder
from tfmodels.download import download
from tfmodels.errors import RunError, UsageError
from tfmodels.safe_files import open_file, open_zip, printable, read_member

NAME = "eurosat/rgb"
MIRROR = "https://huggingface.co/datasets/torchgeo/eurosat/resolve/main/EuroSAT.zip"
IMAGES = 27_000
SIZE = 64  # pixels of a side
CLASS_NAMES = (
    *("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial"),
    *("Pasture", "PermanentCrop", "Residential", "River", "SeaLake"),
)
LARGEST_DIRECTORY = 2**24  # bytes of the archive's list of members; EuroSAT's has 2 million
LARGEST = 100_000  # bytes of an image file in the archive; EuroSAT's have under 20,000
_MEMBER = re.compile(r"(?:.*/)?([A-Za-z]+)/(\1_[0-9]+\.jpg)")


def load(config: Config) -> ImageData:
    """Load EuroSAT, preparing it first if it isn't there.

    Raises:
        UsageError: the archive or the lists of names aren't EuroSAT's.
        RunError: the data or the lists can't be downloaded, or are damaged.
    """
    archive = None if config.archive is None else Path(config.archive)
    layout = Layout("filename", SIZE, CLASS_NAMES, {"train": IMAGES})
    return tile_data(prepare(config.data_dir, archive), layout, "eurosat", config, leaks=True)


def tile_data(
    builder: tfds.core.DatasetBuilder, layout: Layout, name: str, config: Config, leaks: bool
) -> ImageData:
    """Return a data set of tiles seen from above, split by their file names.

    Args:
        builder: of the data set.
        layout: what it holds: one split, and file names.
        name: of the data set.
        config: names the split scheme and the seed.
        leaks: whether neighbouring tiles are alike.
    """
    store = read_builder(builder, name, layout)
    classes = {
        file: layout.class_names[label] for file, label in zip(store.ids, store.labels, strict=True)
    }
    lists = named_split(config.split_scheme, classes, config.seed_of_split())

    everything = Split(store.images, store.ids, store.labels)
    return ImageData(
        name=name,
        version=str(builder.version),
        class_names=layout.class_names,
        image_shape=(layout.side, layout.side, 3),
        train=everything.named(lists["train"]),
        val=everything.named(lists["val"]),
        test=everything.named(lists["test"]),
        split_description=describe_split(config.split_scheme, config.seed_of_split(), leaks),
        augment=turn_shift_brighten,
        checksum=store.checksum,
        notes=left_out(lists, classes),
    )


def prepare(data_dir: str | None = None, archive: Path | None = None) -> tfds.core.DatasetBuilder:
    """Return the builder of EuroSAT, preparing the data set in the folder if it isn't there.

    It is prepared from the archive; without one, from TFDS' own download; if that fails, from
    the mirror, whose file must have the checksum that TFDS records.

    Args:
        data_dir: folder of prepared TFDS data sets; None is TFDS' own.
        archive: a EuroSAT.zip.

    Raises:
        UsageError: the archive is not a zip file of EuroSAT.
        RunError: every way failed; the message says what was tried and why it failed.
    """
    builder = open_builder(NAME, data_dir)
    if builder.is_prepared():
        return builder
    with preparing(NAME, data_dir):
        builder = open_builder(NAME, data_dir)
        if not builder.is_prepared():  # else another process was faster
            _prepare(builder, archive)
    return open_builder(NAME, data_dir)


def _prepare(builder: tfds.core.DatasetBuilder, archive: Path | None) -> None:
    if archive is not None:
        _store(archive, builder)
        return
    tried = []
    for source, attempt in (("TFDS' source", download_by_tfds), (MIRROR, _download_mirror)):
        try:
            attempt(builder)
            return
        except Exception as error:  # as many kinds as there are ways to fail to download
            tried.append(f"{source} ({printable(f'{type(error).__name__}: {error}')})")
    raise RunError(
        f"EuroSAT is not prepared in {builder.data_dir} and could not be downloaded. Tried: "
        f"{'; '.join(tried)}. Name a folder that holds it with `data_dir`, or a EuroSAT.zip with "
        "`archive`"
    )


def _download_mirror(builder: tfds.core.DatasetBuilder) -> None:
    recorded = builder.url_infos[builder.builder_config.download_url]
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "EuroSAT.zip"
        download(MIRROR, archive, recorded.checksum)
        _store(archive, builder)


def _store(archive: Path, builder: tfds.core.DatasetBuilder) -> None:
    """Prepare the data set from a zip file, without unpacking it to disk."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        try:
            opened = stack.enter_context(open_file(archive))
            file = stack.enter_context(open_zip(opened, LARGEST_DIRECTORY))
        except ValueError as error:
            raise UsageError(f"{archive}: {printable(str(error))}: refused") from error
        except (OSError, RunError, zipfile.BadZipFile) as error:
            raise UsageError(f"{archive} can't be read as a zip file ({error})") from error
        members = _members(archive, file)
        for member, _, _ in members:
            _check_image(archive, file, member)
        tfds.dataset_builders.store_as_tfds_dataset(
            name="eurosat",
            config="rgb",
            version=str(builder.version),
            data_dir=Path(builder.data_dir).parents[2],
            features=builder.info.features,
            split_datasets={"train": _examples(file, members)},
        )


def _members(archive: Path, file: zipfile.ZipFile) -> list[tuple[str, str, str]]:
    """Return the images of an archive as (member, class, file name)."""
    matches = [match for name in file.namelist() if (match := _MEMBER.fullmatch(name))]
    found = [(match[0], match[1], match[2]) for match in matches if match[1] in CLASS_NAMES]
    if len(found) != IMAGES or len({filename for _, _, filename in found}) != IMAGES:
        raise UsageError(
            f"{archive} holds {len(found)} images of EuroSAT, not {IMAGES} different ones: "
            "download it again"
        )
    return found


def _check_image(archive: Path, file: zipfile.ZipFile, member: str) -> None:
    """Decode a member, so that what is prepared can be read."""
    size = file.getinfo(member).file_size
    if size > LARGEST:
        raise UsageError(
            f"{archive}: its member {member} has {size} bytes, not an image of EuroSAT"
        )
    try:
        content = io.BytesIO(read_member(file, member, LARGEST))
        with Image.open(content, formats=["JPEG"]) as image:
            if (image.size, image.mode) != ((SIZE, SIZE), "RGB"):
                raise ValueError(f"{image.width}x{image.height} {image.mode}")
            image.load()
    except Exception as error:  # Pillow raises whatever its decoders do
        raise UsageError(
            f"{archive} is damaged: its member {member} is not an image of EuroSAT ({error})"
        ) from error


def _examples(
    file: zipfile.ZipFile, members: list[tuple[str, str, str]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for member, label, filename in members:
        # The JPEG itself is stored, as TFDS does.
        image = io.BytesIO(read_member(file, member, LARGEST))
        # TFDS' own keys, so the stored order is the same too.
        yield f"{label}_{filename}", {"image": image, "label": label, "filename": filename}
