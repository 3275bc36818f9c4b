"""Retrieval metrics: CMC, mAP and mINP by the rules of each dataset's protocol."""

from reid_ext.evaluation.evaluate import evaluate, evaluate_distances
from reid_ext.evaluation.ranking import Ranking
from reid_ext.evaluation.sysu import evaluate_sysu
from reid_ext.evaluation.sysu_gallery import select_galleries

__all__ = ["Ranking", "evaluate", "evaluate_distances", "evaluate_sysu", "select_galleries"]
