"""The registry of protocols: each has its own file and one line here."""

from importlib import import_module

from reid_ext.evaluation.protocols.protocol import Curve, Protocol, Reported, Setting, Trial

_MODULES = (
    "market1501",
    "dukemtmc",
    "msmt17",
    "cuhk03",
    "cuhk03_classic",
    "veri776",
    "generic",
    "sysu",
    "regdb",
    "llcm",
    "vehicleid",
)
PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (import_module(f"{__name__}.{module}").PROTOCOL for module in _MODULES)
}

__all__ = ["PROTOCOLS", "Curve", "Protocol", "Reported", "Setting", "Trial"]
