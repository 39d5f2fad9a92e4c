"""How good a model is on a part of the data."""

from headway_trainer.evaluation.evaluate import Evaluation, chosen_metrics, evaluate

__all__ = ["Evaluation", "chosen_metrics", "evaluate"]
