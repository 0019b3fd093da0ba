import dataclasses

import numpy as np

from benchmarks.frontier import TABLE, draw, is_recipe, read_table
from tfmodels.recipes import configure


def test_only_runs_with_all_settings_of_a_recipe_count() -> None:
    settings = dataclasses.asdict(configure("fast", seed=3, data_dir="/data"))
    assert is_recipe(settings)
    assert not is_recipe(settings | {"epochs": 6})
    assert not is_recipe(settings | {"limit": 100})
    assert not is_recipe(settings | {"recipe": "faster"})
    assert not is_recipe({"members": ["one", "two"], "seed": 0})


def test_the_table_of_the_document_is_read_and_drawn() -> None:
    rows = read_table(TABLE.read_text())
    ours = [row[0].strip("`").split()[0] for row in rows if row[2]]
    assert {"study", "instant", "fast", "budget", "best"} <= set(ours)
    assert ["the study", "79.95", "", "7.6e13", "", ""] in rows
    first, second = draw(rows).axes
    assert np.asarray(first.lines[0].get_xydata()).tolist() == [[1.5e12, 79.96]]
    assert len(first.lines) == len(second.lines) == len(rows)
