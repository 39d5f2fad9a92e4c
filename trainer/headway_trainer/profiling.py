"""What the columns of a source are taken for, without training: for `headway profile`, here or in a pod.

In a pod it reads one question from standard input and prints one line: `{"profile": ...}`, or `{"error": ..., "exit":
...}` with the exit code that the command ends with.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from typing import TYPE_CHECKING

from pydantic import ValidationError

from headway_api import wire
from headway_api.base import StatusSection
from headway_api.data import Data
from headway_api.model import TokenOptions

if TYPE_CHECKING:
    from headway_trainer.data.profile import Profile


_MOST_MISTAKES = 5


class Question(StatusSection):
    """What is asked of a source."""

    data: Data
    seed: int = 0
    """That of the split."""
    tokens: TokenOptions | None = None
    """How the model takes texts, if it does."""


def profile(data: Data, seed: int, tokens: TokenOptions | None) -> Profile:
    """Read the source, infer and divide its rows as training would. Raises UserError and StorageError."""
    from headway_trainer.data import encode, sources
    from headway_trainer.data.content import TableContent
    from headway_trainer.data.examine import examine, profile_of
    from headway_trainer.seeds import split_seed

    content = sources.load(data, volume_dir=wire.DATA_VOLUME_DIR, secret_dir=wire.DATA_SECRET_DIR)
    known = examine(data, split_seed(data, seed), content, strict=False, tokens=tokens is not None)
    learns = isinstance(content, TableContent)  # of columns beside images, none is encoded
    if learns and known.table is not None and known.parts is not None and not known.problems:
        rows = known.table.take(known.parts.indices[0])
        steps = encode.choose_steps(known.schema, tokens, known.past)
        fitted = [step.fit(step.column, rows[step.column]) for step in steps]
        known.warnings += encode.warnings_of(fitted)
        known.schema = encode.tell_done(known.schema, fitted, forecast=known.plan is not None)
    return profile_of(known, content)


def answer(text: str) -> str:
    """The line that answers a question."""
    from headway_trainer.errors import StorageError, UserError

    try:
        question = Question.model_validate_json(text)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:_MOST_MISTAKES])
        why = f"Headway {importlib.metadata.version('headway')}, which the image has, does not take this data: {said}"
        return json.dumps({"error": why, "exit": wire.EXIT_USER_ERROR})
    try:
        found = profile(question.data, question.seed, question.tokens)
    except (UserError, StorageError) as error:
        code = wire.EXIT_USER_ERROR if isinstance(error, UserError) else wire.EXIT_STORAGE
        return json.dumps({"error": str(error), "exit": code})
    return json.dumps({"profile": found.model_dump(mode="json", by_alias=True)})


if __name__ == "__main__":
    print(answer(sys.stdin.read()))
