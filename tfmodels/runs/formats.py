"""What the JSON files of a run directory hold."""

from typing import NotRequired, TypedDict

Scalar = bool | int | float | str | None


class Dataset(TypedDict):
    """The data of a run; `image_shape` and `splits` bound what its files may hold."""

    name: str
    version: str
    class_names: list[str]
    image_shape: tuple[int, int, int]
    split: str
    splits: dict[str, int]
    checksum: str
    split_checksum: str


class Network(TypedDict):
    """The network of a run.

    `initial_weights` are none, imagenet or a SHA-256; `flop` are of an image's forward pass.
    """

    name: str
    parameters: int
    structure: str
    flop: NotRequired[int | None]
    initial_weights: str


class Hardware(TypedDict):
    """The machine of a run."""

    machine: str
    processor: str
    cores: int | None
    memory_gib: float | None
    devices: NotRequired[list[str]]


class Member(TypedDict):
    """A member of a fusion; `sha256` is of its predictions."""

    name: str
    path: str
    sha256: str


class Exported(TypedDict):
    """How the network of a run was exported, as of `export.formats`."""

    format: str
    quantize: str | None


class RunConfig(TypedDict):
    """Content of config.json, of a training, a fusion or an exported network."""

    settings: dict[str, Scalar]
    command: list[str]
    git_commit: str | None
    dataset: Dataset
    versions: dict[str, str]
    hardware: Hardware
    started: str
    ended: NotRequired[str]
    # of a training
    model: NotRequired[Network]
    training_flop: NotRequired[int | None]
    backend: NotRequired[str]
    continued: NotRequired[list[str]]
    # of an exported network
    export: NotRequired[Exported]
    # of a fusion
    members: NotRequired[list[Member]]
    learned: NotRequired[dict[str, float | list[float]]]


class ClassMetrics(TypedDict):
    """Metrics of one class, fractions, and the number of its images."""

    precision: float
    recall: float
    f1: float
    support: int


class Metrics(TypedDict):
    """What `evaluation.evaluate` returns."""

    accuracy: float
    mean_class_accuracy: float
    f1: float
    precision: float
    recall: float
    per_class: dict[str, ClassMetrics]
    confusion_matrix: list[list[int]]
    most_confused: list[str]
    negative_log_likelihood: float
    brier_score: float
    expected_calibration_error: float


class SavedMetrics(TypedDict):
    """Content of metrics.json: of each split, and the FLOP of a training."""

    val: NotRequired[Metrics]
    test: NotRequired[Metrics]
    training_flop: NotRequired[int | None]


class Intervals(TypedDict):
    """95 % intervals of the study's metrics, fractions."""

    mean_class_accuracy: tuple[float, float]
    f1: tuple[float, float]
    precision: tuple[float, float]
    recall: tuple[float, float]


class Difference(TypedDict):
    """How a fusion differs from its rival."""

    accuracy: float
    rival: float
    low: float
    high: float
    gained: int
    lost: int
    p: float
    images: int
    points: str
    in_words: str


class Diversity(TypedDict):
    """How much members of a fusion differ, as of `fusion.comparison.diversity`."""

    disagreement: float
    error_correlation: float


class FusionComparison(TypedDict):
    """Content of fusion.json, as of `fusion.comparison.compare`."""

    metrics: dict[str, Metrics]
    intervals: dict[str, Intervals]
    rival: str
    differences: dict[str, Difference]
    diversity: NotRequired[Diversity]  # of fusions since version 0.2
