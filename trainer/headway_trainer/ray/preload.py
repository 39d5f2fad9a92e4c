"""What a training process imports while it waits for work: the loop, with torch and Ray Train.

Ray Train imports pandas and Ray Data, which the built-in loop never uses, and which cost each process more than Ray
itself. They come when somebody asks for them, as a user's training function may.
"""

from __future__ import annotations

import importlib

import ray  # noqa: F401 - ray.data's parent

from headway_trainer.ray.lazy_imports import import_later

import_later("pandas")
import_later("ray.data")
importlib.import_module("headway_trainer.ray.built_in_function")
