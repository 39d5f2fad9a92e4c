"""How good a model is: losses, sums that workers can add up, and the final evaluation."""

from headway_trainer.evaluation.evaluate import Evaluation, evaluate
from headway_trainer.evaluation.running import RunningMetrics, loss_function

__all__ = ["Evaluation", "RunningMetrics", "evaluate", "loss_function"]
