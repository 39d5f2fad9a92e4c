"""What is learnt: a task has the model's head, the loss of each row, the metrics, and what outputs mean."""

from headway_trainer.tasks.base import Task
from headway_trainer.tasks.tasks import task_of

__all__ = ["Task", "task_of"]
