"""From raw rows to a model's input: transforms that are fitted on the training rows alone, as records of plain JSON.

Each can be applied with numpy, and written into an ONNX graph that gives the same numbers.
"""

from headway_trainer.data.transform.category import Category
from headway_trainer.data.transform.chain import ArrayChain, Chain, ColumnTransform, Step, TableChain
from headway_trainer.data.transform.graph import Graph, Tensor
from headway_trainer.data.transform.number import Boolean, Number
from headway_trainer.data.transform.scale import Scale
from headway_trainer.data.transform.times import Times
from headway_trainer.data.transform.tokens import Tokens, fit_tokens
from headway_trainer.data.transform.vector import Vector
from headway_trainer.data.transform.words import Words

__all__ = [
    "ArrayChain",
    "Boolean",
    "Category",
    "Chain",
    "ColumnTransform",
    "Graph",
    "Number",
    "Scale",
    "Step",
    "TableChain",
    "Tensor",
    "Times",
    "Tokens",
    "Vector",
    "Words",
    "fit_tokens",
]
