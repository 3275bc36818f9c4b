"""Training and evaluation in several processes, with results identical to one process.

Every function also works without a process group, as in one process.
"""

from reid_ext.distributed.batches import ShareOfBatches
from reid_ext.distributed.collectives import gather_rows, rank, world_size
from reid_ext.distributed.launch import (
    data_parallel,
    is_main,
    join,
    local_processes,
    main_first,
    restarted,
)
from reid_ext.distributed.loss import GlobalBatchLoss
from reid_ext.distributed.norm import GlobalBatchNorm, convert_norms
from reid_ext.distributed.reranking import rerank
from reid_ext.distributed.retrieval import evaluate
from reid_ext.distributed.searching import search

__all__ = [
    "GlobalBatchLoss",
    "GlobalBatchNorm",
    "ShareOfBatches",
    "convert_norms",
    "data_parallel",
    "evaluate",
    "gather_rows",
    "is_main",
    "join",
    "local_processes",
    "main_first",
    "rank",
    "rerank",
    "restarted",
    "search",
    "world_size",
]


def __dir__() -> list[str]:
    return __all__
