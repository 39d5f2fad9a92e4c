"""Small tables with a text, whose order of words decides: what the tests of sequences share."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

WORDS = ("the", "plot", "is", "dull", "music", "lovely")


def reviews(count: int = 120, seed: int = 4) -> pa.Table:
    """Rows of a text, a number and a category; good where `not` stands before `bad`, and not before `good`."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    texts, labels = [], []
    for index in range(count):
        good = bool(index % 2)
        opinion = ["not", "bad", "but", "good"] if good else ["not", "good", "but", "bad"]
        texts.append(" ".join([*draw.choices(WORDS, k=draw.randint(0, 3)), *opinion, f"film{index}"]))
        labels.append("good" if good else "bad")
    return pa.table(
        {
            "stars": [draw.gauss(3, 1) if draw.random() > 0.1 else None for _ in range(count)],
            "text": [text if index % 17 else None for index, text in enumerate(texts)],
            "shop": [draw.choice(["north", "south"]) for _ in range(count)],
            "label": labels,
        }
    )


def write_reviews(folder: Path, count: int = 120) -> str:
    """The path of a file with them."""
    path = folder / "reviews.parquet"
    parquet.write_table(reviews(count), path)
    return str(path)
