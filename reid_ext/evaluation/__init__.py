"""Retrieval metrics: CMC, mAP and mINP by the rules of each dataset's protocol."""

from reid_ext.evaluation._engine.pairs import Pairs, Unmatched
from reid_ext.evaluation.confidence import Confidence, Interval, bootstrap
from reid_ext.evaluation.jaccard import SparseDistances, jaccard_distance
from reid_ext.evaluation.lists import RankedLists, left_out, ranked_lists, trials
from reid_ext.evaluation.multi_query import pool_queries
from reid_ext.evaluation.named import (
    evaluate_llcm,
    evaluate_regdb,
    evaluate_sampled_gallery,
    evaluate_single_shot,
    evaluate_sysu,
    select_galleries,
)
from reid_ext.evaluation.protocols import PROTOCOLS, Protocol, Reported, Setting, Trial
from reid_ext.evaluation.ranking import (
    AVERAGE_PRECISIONS,
    Provenance,
    Ranking,
    mean_of_trials,
)
from reid_ext.evaluation.reranking import METHODS, read_options, rerank
from reid_ext.evaluation.retrieval import evaluate, evaluate_distances
from reid_ext.evaluation.searching import search
from reid_ext.evaluation.sharding import rank_shard
from reid_ext.evaluation.verification import Verification, verify
from reid_ext.evaluation.viewpoints import evaluate_viewpoint

__all__ = [
    "AVERAGE_PRECISIONS",
    "METHODS",
    "PROTOCOLS",
    "Confidence",
    "Interval",
    "Pairs",
    "Protocol",
    "Provenance",
    "RankedLists",
    "Ranking",
    "Reported",
    "Setting",
    "SparseDistances",
    "Trial",
    "Unmatched",
    "Verification",
    "bootstrap",
    "evaluate",
    "evaluate_distances",
    "evaluate_llcm",
    "evaluate_regdb",
    "evaluate_sampled_gallery",
    "evaluate_single_shot",
    "evaluate_sysu",
    "evaluate_viewpoint",
    "jaccard_distance",
    "left_out",
    "mean_of_trials",
    "pool_queries",
    "rank_shard",
    "ranked_lists",
    "read_options",
    "rerank",
    "search",
    "select_galleries",
    "trials",
    "verify",
]


def __dir__() -> list[str]:
    return __all__
