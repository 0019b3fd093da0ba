"""Several trainings at once: those that are missing are made, and those that stopped go on."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tfmodels.config import SOURCES, Config
from tfmodels.errors import UsageError
from tfmodels.experiment import run
from tfmodels.models.catalog import build
from tfmodels.models.weights.loading import load_weights
from tfmodels.recipes import run_name
from tfmodels.runs.contents import open_run
from tfmodels.runs.continuation import check_settings
from tfmodels.runs.directory import has_state, is_complete, run_path


def run_seeds(
    config: Config, seeds: Sequence[int], out: Path = Path("runs"), overwrite: bool = False
) -> list[Path]:
    """Train and judge once for each seed, as `run_all` does; return the paths of the runs.

    `report.tables.seeds_table` shows them with mean and spread.
    """
    configs = {f"seed {seed}": dataclasses.replace(config, seed=seed) for seed in seeds}
    return list(run_all(configs, out, overwrite).values())


def run_all(configs: Mapping[str, Config], out: Path, overwrite: bool = False) -> dict[str, Path]:
    """Run what isn't complete, under the default names, after a look at all.

    Args:
        configs: by a name to print.
        out: folder of the runs.
        overwrite: whether to start over, and replace complete runs.

    Returns:
        The paths of the runs, by the names of the configs.

    Raises:
        UsageError: a run of the same name has other settings, or isn't a run.
        RunError: weights aren't there or don't fit, or a training failed.
    """
    paths = {name: run_path(out, run_name(config)) for name, config in configs.items()}
    todo = {
        name
        for name in configs
        if overwrite or has_state(paths[name]) or not is_complete(paths[name])
    }
    for name, config in configs.items():
        if name in todo:
            check_settings(paths[name], dataclasses.asdict(config), overwrite)
        else:
            _check_same(config, paths[name])
    for config in {dataclasses.replace(configs[name], seed=0) for name in todo}:
        _check_weights(config)
    for name, config in configs.items():
        if name in todo:
            print(f"\n{name}", file=sys.stderr)
            run(config, out=out, name=paths[name].name, overwrite=overwrite)
        else:
            print(f"{name}: complete already in {paths[name]}", file=sys.stderr)
    return paths


def _check_weights(config: Config) -> None:
    """Find out before the first training whether the weights can be loaded and fit."""
    if config.weights != "none":
        size = config.image_size
        model = build(config.model, (size, size, 3), classes=10, image_size=size)
        load_weights(model, config.model, config.weights)


def _check_same(config: Config, path: Path) -> None:
    found, asked = open_run(path).config["settings"], dataclasses.asdict(config)
    different = [
        key for key in asked if key not in SOURCES and found.get(key, asked[key]) != asked[key]
    ]
    if different:
        listed = ", ".join(f"`{key}={found[key]}`, not {asked[key]}" for key in different)
        raise UsageError(f"{path} was made with {listed}: name another folder with `out`")
