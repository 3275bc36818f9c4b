"""Faces that other packages' users know, one module per package; import the one you need."""

from reid_ext.compat.zhong import re_ranking

__all__ = ["re_ranking"]
