"""Takes the place of Ray's `setup_worker.py`: a script that the raylet runs for each worker process.

Ray's imports all of Ray, which takes half a second of CPU, only to call the real program with the same arguments. It is
still the one that runs where a task has a runtime environment to set up. This one therefore imports nothing.
"""

import os
import sys

_CONTEXT = "--serialized-runtime-env-context="
_LANGUAGE = "--language="


def command(arguments: list[str]) -> list[str]:
    """The program to become, for the arguments that Ray's script would have got."""
    context = [one for one in arguments if one.startswith(_CONTEXT)]
    if context and context[-1] not in (_CONTEXT, _CONTEXT + "{}"):
        # Beside the worker's program, which is Ray's own.
        theirs = os.path.join(os.path.dirname(arguments[0]), "setup_worker.py")  # noqa: PTH118, PTH120 - see above
        return [sys.executable, theirs, *arguments]
    return [sys.executable, *(one for one in arguments if not one.startswith((_CONTEXT, _LANGUAGE)))]


if __name__ == "__main__":
    words = command(sys.argv[1:])
    os.execv(words[0], words)  # noqa: S606 - it is Ray's command
