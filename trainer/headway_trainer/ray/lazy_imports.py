"""Modules that are imported when somebody first asks them for something."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types


class _Later(types.ModuleType):
    """Stands for a module until one of its names is asked for. (importlib's LazyLoader gives in to `import` itself.)"""

    def __getattr__(self, name: str) -> object:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        module = importlib.import_module(self.__name__)
        self.__dict__.update(module.__dict__)
        return getattr(module, name)


def import_later(name: str) -> None:
    """Import a module, whose parent is imported, when one of its names is asked for. Nothing happens if it is there
    already, or nowhere."""
    if name in sys.modules or (spec := importlib.util.find_spec(name)) is None:
        return
    module = _Later(name)
    module.__spec__, module.__file__ = spec, spec.origin
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
