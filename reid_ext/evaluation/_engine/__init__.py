"""How an evaluation is computed. Private to ``reid_ext.evaluation``."""
