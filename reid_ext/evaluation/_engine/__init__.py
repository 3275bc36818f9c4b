"""The computation behind the evaluation. Private to ``reid_ext.evaluation``."""
