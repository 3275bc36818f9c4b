"""Protocol: required columns, junk rule, galleries, and how ranks become metrics.

Each protocol is an object in its own file. Most are a :class:`Protocol` with other values. A
protocol that draws galleries or computes the CMC differently is a subclass that overrides a method.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, choice, integer
from reid_ext._runtime.labels import JUNK
from reid_ext.evaluation._engine.pairs import Matches, Rules, Side, left_out, match


@dataclass(frozen=True)
class Setting:
    """An option of a protocol: a keyword of :func:`evaluate` and a flag of the command line.

    Attributes:
        name: The keyword. The flag is ``--name``.
        default: The value if the option is not given.
        help: One line for the help text.
        choices: Allowed values. If empty, any integer of at least ``least`` is allowed. If
            ``least`` is None too, the value is an object that only Python code can pass.
        least: The smallest allowed integer.
        code_only: Whether the option exists in Python only, not as a flag.

    Examples:
        >>> from reid_ext.evaluation import Setting
        >>> shots = Setting("shots", 1, "gallery images per identity and camera", choices=(1, 10))
        >>> shots.read("evaluate", 10), shots.read("evaluate", None), shots.is_flag
        (10, 1, True)
    """

    name: str
    default: Any
    help: str
    choices: tuple[Any, ...] = ()
    least: int | None = None
    code_only: bool = False

    @property
    def is_flag(self) -> bool:
        """Whether the option is a flag of the command line."""
        return not self.code_only and (bool(self.choices) or self.least is not None)

    def read(self, function: str, value: Any) -> Any:
        """Return the checked value, or the default for None."""
        if value is None:
            return self.default
        if self.choices:
            return choice(function, self.name, value, self.choices)
        return value if self.least is None else integer(function, self.name, value, self.least)


SEED = Setting("seed", 0, "seed of the random draws", least=0)
TRIALS = Setting("trials", 10, "number of random galleries to draw", least=1)


class Trial(NamedTuple):
    """Row numbers of the queries and gallery images of one evaluation; None stands for all rows.

    Examples:
        >>> import torch
        >>> from reid_ext.evaluation import Trial
        >>> trial = Trial(gallery=torch.tensor([0, 2]))
        >>> trial.query is None, trial.gallery.tolist()
        (True, [0, 2])
    """

    query: Tensor | None = None  # row numbers, int64 on the CPU
    gallery: Tensor | None = None


class Reported(NamedTuple):
    """A result that papers report: name, settings, and whether query and gallery are swapped.

    Examples:
        >>> from reid_ext.evaluation import PROTOCOLS
        >>> [result.name for result in PROTOCOLS["regdb"].results()]
        ['visible to thermal', 'thermal to visible']
    """

    name: str
    settings: Mapping[str, Any] = MappingProxyType({})
    exchanged: bool = False  # the images of the gallery are the queries


@dataclass(frozen=True)
class Protocol:
    """The rules of one evaluation.

    Attributes:
        name: Value of the argument ``protocol`` and of the flag ``--protocol``.
        title: Name of the dataset or setting in print.
        reference: Paper and official code.
        columns: Columns that queries and gallery must have.
        same: Gallery images that agree with the query in all these columns are junk.
        junk: Description of that rule.
        ignored_identity: Gallery images of this identity are left out for every query, and queries
            of it have no match.
        metric: Default distance.
        average_precision: Default rule of the average precision.
        cmc: What the CMC counts.
        draws: Whether galleries are drawn at random, so that the result is the mean over trials.
        one_set: Whether each trial divides one set into queries and gallery, so that no separate
            gallery is passed.
        same_queries: Whether all trials have the same queries.
        cmc_of_first_matches: Whether the CMC follows from the ``first_match`` of each query, so
            that confidence intervals can be computed by resampling queries.
        settings: Options of the protocol.
        reported: Results that papers report. If empty, there is one, named after the protocol.

    Examples:
        >>> from reid_ext import evaluate_distances
        >>> from reid_ext.evaluation import Protocol
        >>> same_camera = Protocol(
        ...     name="other-cameras", title="other cameras only", reference="", same=("cameras",),
        ...     junk="same camera",
        ... )
        >>> ranking = evaluate_distances(
        ...     [[0.1, 0.2]], query_ids=[1], gallery_ids=[2, 1], query_cameras=[1],
        ...     gallery_cameras=[1, 2], protocol=same_camera,
        ... )
        >>> ranking.rank(1)  # the nearest image is from the query's camera, so it is junk
        1.0
    """

    name: str
    title: str
    reference: str
    columns: tuple[str, ...] = ("identities", "cameras")
    same: tuple[str, ...] = ("identities", "cameras")
    junk: str = "same identity and camera"
    ignored_identity: int | None = JUNK
    metric: str = "cosine"
    average_precision: str = "step"
    cmc: str = "images"
    draws: bool = False
    one_set: bool = False
    same_queries: bool = False
    cmc_of_first_matches: bool = True
    settings: tuple[Setting, ...] = ()
    reported: tuple[Reported, ...] = ()

    def read_settings(self, function: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return all settings, with defaults for those that are not given.

        Raises:
            ArgumentError: If a value is out of range or the protocol does not have a setting of
                that name.
        """
        known = {setting.name: setting for setting in self.settings}
        for name, value in given.items():
            if name not in known and value is not None:
                names = ", ".join(known) or "none"
                requirement = f"be left out with protocol {self.name!r}"
                raise ArgumentError(
                    function, name, requirement, repr(value)[:60], f"its settings are: {names}"
                )
        return {name: s.read(function, given.get(name)) for name, s in known.items()}

    def prepare(self, side: Side, settings: Mapping[str, Any]) -> Side:
        """Return the side with every column that the rules need.

        Raises:
            ArgumentError: If a column is missing or contains values that the protocol does not
                allow.
        """
        for column in self.columns:
            if column not in side.columns:
                requirement = f"be given for protocol {self.name!r}"
                advice = "use protocol 'generic' for images without cameras"
                raise side.error(column, requirement, "None", advice if column == "cameras" else "")
        if "cameras" in self.same and bool((side["cameras"] < 0).any()):
            got = str(int(side["cameras"].min()))
            advice = "a negative number for unknown cameras would count as one camera"
            raise side.error("cameras", "not be negative", got, advice)
        return side

    def trials(self, query: Side, gallery: Side, settings: Mapping[str, Any]) -> list[Trial]:
        """Return the evaluations to make, which is one for most protocols."""
        return [Trial()]

    def match(
        self, query: Side, gallery: Side, settings: Mapping[str, Any], rules: Rules
    ) -> Matches:
        """Return the matches and the junk of one trial."""
        return match(query, gallery, self.same, self.ignored_identity, rules)

    def left_out(self, query: Side, gallery: Side, rules: Rules) -> Tensor:
        """Return which pairs of one trial are left out, (Q, G) bool."""
        return left_out(query, gallery, self.same, self.ignored_identity, rules)

    def needs_keys(self, settings: Mapping[str, Any]) -> bool:
        """Return whether :meth:`curve` needs the order keys of all pairs."""
        return False

    def curve(
        self,
        keys: Tensor,
        matches: Matches,
        query: Side,
        gallery: Side,
        settings: Mapping[str, Any],
        max_rank: int,
    ) -> "Curve":
        """Return how the CMC is computed if it does not follow from the rank of the first match.

        ``keys`` (Q, G) order the gallery of each query, smaller first. Neither ``keys`` nor
        ``gallery`` contain ignored images.
        """
        return Curve()

    def describe(self, settings: Mapping[str, Any], query: Side) -> dict[str, Any]:
        """Return the settings as the provenance of a ranking shows them."""
        return {name: value for name, value in settings.items() if value is not None}

    def results(self) -> tuple[Reported, ...]:
        """Return the results that papers report; the first one is the headline."""
        return self.reported or (Reported(self.name),)

    def cmc_of(self, settings: Mapping[str, Any]) -> str:
        """Return what the CMC counts under these settings."""
        return self.cmc


class Curve(NamedTuple):
    """How a CMC differs from that of first matches: other ranks of shape (Q,), or a whole curve.

    If both fields are None, the CMC follows from the rank of each query's first match.

    Examples:
        >>> import torch
        >>> from reid_ext.evaluation.protocols import Curve
        >>> Curve().first_ranks is None
        True
        >>> Curve(cmc=torch.tensor([0.5, 1.0])).cmc.tolist()
        [0.5, 1.0]
    """

    first_ranks: Tensor | None = None
    cmc: Tensor | None = None
