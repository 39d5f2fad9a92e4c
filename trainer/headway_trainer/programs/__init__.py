"""How models learn: what a step does with a batch, and how rows are judged. Supervised learning is the default."""

from headway_trainer.programs.base import JudgedRows, MakeOptimizer, Program, Turn
from headway_trainer.programs.supervised import Supervised

__all__ = ["JudgedRows", "MakeOptimizer", "Program", "Supervised", "Turn"]
