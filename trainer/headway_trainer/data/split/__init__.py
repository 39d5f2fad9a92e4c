"""Which rows train, choose and judge the model. Pure: the same rows, shares and seed give the same parts, always."""

from headway_trainer.data.split.divide import Column, Dividing, divide, dividing
from headway_trainer.data.split.folds import divide_folds
from headway_trainer.data.split.parts import Indices, PartOf, Parts, with_validation_learnt

__all__ = [
    "Column",
    "Dividing",
    "Indices",
    "PartOf",
    "Parts",
    "divide",
    "divide_folds",
    "dividing",
    "with_validation_learnt",
]
