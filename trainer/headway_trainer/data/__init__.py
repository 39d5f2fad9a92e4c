"""From a source to arrays that each worker reads its own rows of."""

from headway_trainer.data.info import SPLITS, DataInfo, Split
from headway_trainer.data.preparation import prepare
from headway_trainer.data.shards import read_split

__all__ = ["SPLITS", "DataInfo", "Split", "prepare", "read_split"]
