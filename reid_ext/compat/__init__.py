"""Drop-in replacements for functions of other libraries, with their names and arguments.

``compat.torchreid`` and ``compat.fastreid`` are always available. ``compat.metric_learning`` and
``compat.torchmetrics`` need the library of that name and are imported at their first use.
"""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from reid_ext.compat import fastreid, torchreid
from reid_ext.compat.zhong import re_ranking

__all__ = ["fastreid", "re_ranking", "torchreid"]

_ON_DEMAND = {"metric_learning": "pytorch_metric_learning", "torchmetrics": "torchmetrics"}


def __dir__() -> list[str]:
    return __all__ + [name for name, needs in _ON_DEMAND.items() if find_spec(needs)]


def __getattr__(name: str) -> ModuleType:
    """Import an adapter whose library is optional."""
    if name in _ON_DEMAND:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
