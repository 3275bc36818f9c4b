"""Retrieval metrics: CMC, mAP and mINP by the rules of each dataset's protocol."""

from reid_ext.evaluation.confidence import Confidence, Interval, bootstrap
from reid_ext.evaluation.evaluate import evaluate, evaluate_distances
from reid_ext.evaluation.jaccard import SparseDistances, jaccard_distance
from reid_ext.evaluation.ranking import Ranking
from reid_ext.evaluation.regdb import evaluate_regdb, mean_of_trials
from reid_ext.evaluation.rerank import rerank
from reid_ext.evaluation.single_shot import evaluate_single_shot
from reid_ext.evaluation.sysu import evaluate_sysu
from reid_ext.evaluation.sysu_gallery import select_galleries

__all__ = [
    "Confidence",
    "Interval",
    "Ranking",
    "SparseDistances",
    "bootstrap",
    "evaluate",
    "evaluate_distances",
    "evaluate_regdb",
    "evaluate_single_shot",
    "evaluate_sysu",
    "jaccard_distance",
    "mean_of_trials",
    "rerank",
    "select_galleries",
]
