"""RegDB: visible against thermal images, in either direction; every gallery image is ranked.

RegDB has ten trials, each with its own split of the identities and therefore with its own model: a
model trained on trial 1 has seen test identities of trial 2. Papers report the mean over the
trials.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reid_ext._runtime.arguments import ArgumentError
from reid_ext.evaluation._engine.pairs import Side
from reid_ext.evaluation.protocols.protocol import Protocol, Reported, Setting

DIRECTIONS = ("visible_to_thermal", "thermal_to_visible")
NUMBERS = tuple(range(1, 11))


@dataclass(frozen=True)
class RegDB(Protocol):
    """The RegDB protocol; its settings record which of the ten trials the features belong to."""

    def read_settings(self, function: str, given: Mapping[str, Any]) -> dict[str, Any]:
        settings = super().read_settings(function, given)
        trial, of_model = settings["trial"], settings["model_trial"]
        if of_model is not None and of_model != trial:
            requirement = f"equal trial ({trial})"
            advice = "other models were trained on some of these test identities"
            raise ArgumentError(function, "model_trial", requirement, str(of_model), advice)
        return settings

    def prepare(self, side: Side, settings: Mapping[str, Any]) -> Side:
        side = super().prepare(side, settings)
        modalities = side.columns.get("modalities")
        if settings["direction"] is None or modalities is None or side.rows == 0:
            return side
        is_query = side.name == "query"
        wanted = int((settings["direction"] == DIRECTIONS[0]) != is_query)  # 1: thermal
        if bool((modalities != wanted).any()):
            requirement = f"be {wanted} (0 visible, 1 thermal) for {settings['direction']}"
            raise side.error("modalities", requirement, str(1 - wanted), "swap query and gallery")
        return side

    def describe(self, settings: Mapping[str, Any], query: Side) -> dict[str, Any]:
        shown = super().describe(settings, query)
        shown.pop("model_trial", None)
        return {"direction": settings["direction"] or _direction(query), **shown}


def _direction(query: Side) -> str:
    """Return the direction that follows from the modality of the queries, if it is known."""
    modalities = query.columns.get("modalities")
    if modalities is None or query.rows == 0:
        return "unknown"
    return DIRECTIONS[int(modalities[0] != 0)]


PROTOCOL = RegDB(
    name="regdb",
    title="RegDB",
    reference="Nguyen et al., Sensors 2017; the evaluation code that Ye et al. 2021 released",
    columns=("identities",),
    same=(),
    junk="",
    settings=(
        Setting(
            "direction",
            None,
            "modality of queries and gallery (default: as in the files)",
            DIRECTIONS,
        ),
        Setting("trial", None, "number of the trial that is evaluated", NUMBERS, code_only=True),
        Setting(
            "model_trial",
            None,
            "number of the trial of the model's training",
            NUMBERS,
            code_only=True,
        ),
    ),
    reported=(
        Reported("visible to thermal", {"direction": DIRECTIONS[0]}),
        Reported("thermal to visible", {"direction": DIRECTIONS[1]}, exchanged=True),
    ),
)
