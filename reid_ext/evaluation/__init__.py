"""Retrieval metrics: CMC, mAP and mINP by the rules of each dataset's protocol."""

from reid_ext.evaluation._engine.exclusion import Pairs
from reid_ext.evaluation.confidence import Confidence, Interval, bootstrap
from reid_ext.evaluation.jaccard import SparseDistances, jaccard_distance
from reid_ext.evaluation.multi_query import pool_queries
from reid_ext.evaluation.ranking import Ranking, Unmatched
from reid_ext.evaluation.regdb import evaluate_regdb, mean_of_trials
from reid_ext.evaluation.reranking import rerank
from reid_ext.evaluation.retrieval import evaluate, evaluate_distances
from reid_ext.evaluation.sampled_gallery import evaluate_llcm, evaluate_sampled_gallery
from reid_ext.evaluation.searching import search
from reid_ext.evaluation.single_shot import evaluate_single_shot
from reid_ext.evaluation.sysu import evaluate_sysu
from reid_ext.evaluation.sysu_gallery import select_galleries
from reid_ext.evaluation.verification import Verification, verify
from reid_ext.evaluation.viewpoints import evaluate_viewpoint

__all__ = [
    "Confidence",
    "Interval",
    "Pairs",
    "Ranking",
    "SparseDistances",
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
    "mean_of_trials",
    "pool_queries",
    "rerank",
    "search",
    "select_galleries",
    "verify",
]
