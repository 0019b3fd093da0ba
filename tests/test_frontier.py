import dataclasses

from benchmarks.frontier import is_recipe
from tfmodels.recipes import configure


def test_only_runs_with_all_settings_of_a_recipe_count() -> None:
    settings = dataclasses.asdict(configure("fast", seed=3, data_dir="/data"))
    assert is_recipe(settings)
    assert not is_recipe(settings | {"epochs": 6})
    assert not is_recipe(settings | {"limit": 100})
    assert not is_recipe(settings | {"recipe": "faster"})
    assert not is_recipe({"members": ["one", "two"], "seed": 0})
