"""Names of the fusion methods, for flags; `fusion.rules` has the methods themselves."""

METHODS = ("sum", "geometric", "power", "weighted", "stacking", "vote")
LEARNING = ("power", "weighted", "stacking")  # fitted to the validation split
