"""``--protocol``, the flags of the protocols' settings, and the protocol of a dataset.

They come from the objects in :data:`reid_ext.evaluation.PROTOCOLS`.
"""

import argparse
from inspect import signature
from typing import Any

from reid_ext.cli.command import WrongUse, flag_of, group_of
from reid_ext.data import Dataset
from reid_ext.evaluation import PROTOCOLS, Protocol, Setting, evaluate

DEFAULT = signature(evaluate).parameters["protocol"].default
# Protocols for datasets that have no protocol of their own, such as the user's images.
WITH_CAMERAS, WITHOUT_CAMERAS = "dukemtmc-reid", "generic"


def protocol_of(dataset: Dataset) -> Protocol:
    """The protocol with the name of the dataset, or one chosen by whether it has cameras."""
    if dataset.name in PROTOCOLS:
        return PROTOCOLS[dataset.name]
    known = len({s.camera for s in [*dataset.query, *dataset.gallery]}) > 1
    return PROTOCOLS[WITH_CAMERAS if known else WITHOUT_CAMERAS]


def names(protocols: list[Protocol]) -> str:
    """The names of protocols in a sentence."""
    return ", ".join(protocol.name for protocol in protocols)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add one flag for each setting of any protocol; it is None if it is not given."""
    for name, takers in sorted(_takers().items(), key=lambda found: len(found[1]) == 1):
        title = "evaluation, settings of several protocols"
        if len(takers) == 1:
            title = f"evaluation, settings of --protocol {takers[0].name} ({takers[0].title})"
        _add_setting(group_of(parser, title), name, takers)


def given_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given; WrongUse for one that the protocol does not have."""
    given = {}
    for name, takers in _takers().items():
        value = getattr(args, name)
        if value is None:
            continue
        if all(protocol.name != args.protocol for protocol in takers):
            raise WrongUse(
                f"{flag_of(name)} must be left out with --protocol {args.protocol}, got {value}; "
                f"it is a setting of {names(takers)}"
            )
        given[name] = value
    return given


def _takers() -> dict[str, list[Protocol]]:
    """For each setting that is a flag, the protocols that have it."""
    takers: dict[str, list[Protocol]] = {}
    for protocol in PROTOCOLS.values():
        for setting in protocol.settings:
            if setting.is_flag:
                takers.setdefault(setting.name, []).append(protocol)
    return takers


def _add_setting(group: Any, name: str, takers: list[Protocol]) -> None:
    found = [s for protocol in takers for s in protocol.settings if s.name == name]
    first = found[0]
    what = first.help if len(takers) == 1 else f"{first.help}, for {names(takers)}"
    if first.default is not None:
        what += f" (default: {first.default})"
    choices = tuple(dict.fromkeys(value for setting in found for value in setting.choices))
    group.add_argument(
        flag_of(name),
        type=_type_of(first),
        choices=choices or None,
        metavar=None if choices else "N",
        help=what,
    )


def _type_of(setting: Setting) -> type:
    return int if all(isinstance(value, int) for value in setting.choices) else str
