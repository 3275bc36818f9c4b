"""What a protocol is: the columns it needs, its junk, its galleries, and how ranks become numbers.

A protocol is an object in a file of its own. Most are a :class:`Protocol` with other values;
one that draws galleries or counts a CMC of its own is a subclass that overrides a method.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor

from reid_ext._runtime.arguments import ArgumentError, choice, integer
from reid_ext.evaluation._engine.pairs import Matches, Rules, Side, left_out, match


@dataclass(frozen=True)
class Setting:
    """An option of a protocol: a keyword of :func:`evaluate` and a flag of the command line.

    Attributes:
        name: The keyword; the flag is ``--name``.
        default: The value where it is not given.
        help: One line for the help text.
        choices: The values it may have; empty: any integer from ``least`` on, or, with ``least``
            None, an object that only Python code can give.
        least: The smallest integer.
        code_only: Whether only Python code gives it, although it could be typed.
    """

    name: str
    default: Any
    help: str
    choices: tuple[Any, ...] = ()
    least: int | None = None
    code_only: bool = False

    @property
    def is_flag(self) -> bool:
        """Whether it is a flag of the command line."""
        return not self.code_only and (bool(self.choices) or self.least is not None)

    def read(self, function: str, value: Any) -> Any:
        """The value, or the default for None."""
        if value is None:
            return self.default
        if self.choices:
            return choice(function, self.name, value, self.choices)
        return value if self.least is None else integer(function, self.name, value, self.least)


SEED = Setting("seed", 0, "seed of the random draws", least=0)
TRIALS = Setting("trials", 10, "how many random galleries to draw", least=1)


class Trial(NamedTuple):
    """The queries and gallery images of one evaluation; None: all of them."""

    query: Tensor | None = None  # row numbers, int64 on the CPU
    gallery: Tensor | None = None


class Reported(NamedTuple):
    """A result that papers report: its name, the settings, and whether the sides are exchanged."""

    name: str
    settings: Mapping[str, Any] = MappingProxyType({})
    exchanged: bool = False  # the gallery's images are the queries


@dataclass(frozen=True)
class Protocol:
    """The rules of one evaluation.

    Attributes:
        name: What ``protocol=`` and ``--protocol`` take.
        title: The name of the dataset or setting in print.
        reference: Paper and official code.
        columns: The columns that queries and gallery must have.
        same: Gallery images that agree with the query in all these columns are junk.
        junk: That rule in words.
        ignored_identity: Gallery images of this identity are left out for every query.
        metric: The default distance.
        average_precision: The default rule of the average precision.
        cmc: What the CMC counts.
        draws: Whether galleries are drawn, so that the result is the mean over trials.
        one_set: Whether queries and gallery are drawn from a single set.
        same_queries: Whether all trials have the same queries.
        cmc_of_first_matches: Whether the CMC follows from the ``first_match`` of each query, so
            that confidence intervals can be drawn from the queries.
        settings: Its options.
        reported: The results that papers report; empty: one, by the name of the protocol.
    """

    name: str
    title: str
    reference: str
    columns: tuple[str, ...] = ("identities", "cameras")
    same: tuple[str, ...] = ("identities", "cameras")
    junk: str = "same identity and camera"
    ignored_identity: int | None = None
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
        """All settings, with defaults for what is not given.

        Raises:
            ArgumentError: a value out of range, or a name that is no setting of this protocol.
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
        """The side with every column that the rules need.

        Raises:
            ArgumentError: a column is missing or has values that the protocol does not know.
        """
        for column in self.columns:
            if column not in side.columns:
                requirement = f"be given for protocol {self.name!r}"
                advice = "use protocol 'generic' for images without cameras"
                raise side.error(column, requirement, "None", advice if column == "cameras" else "")
        if "cameras" in self.same and bool((side["cameras"] < 0).any()):
            got = str(int(side["cameras"].min()))
            advice = "images whose camera is unknown would count as being from one camera"
            raise side.error("cameras", "not be negative", got, advice)
        return side

    def trials(self, query: Side, gallery: Side, settings: Mapping[str, Any]) -> list[Trial]:
        """The evaluations to make, one for most protocols."""
        return [Trial()]

    def match(
        self, query: Side, gallery: Side, settings: Mapping[str, Any], rules: Rules
    ) -> Matches:
        """Who matches whom in one trial, and who is junk."""
        return match(query, gallery, self.same, self.ignored_identity, rules)

    def left_out(self, query: Side, gallery: Side, rules: Rules) -> Tensor:
        """(Q, G) bool: the pairs of one trial that are left out."""
        return left_out(query, gallery, self.same, self.ignored_identity, rules)

    def needs_keys(self, settings: Mapping[str, Any]) -> bool:
        """Whether :meth:`curve` needs the order keys of all pairs."""
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
        """What the CMC is made of where it is not the rank of the first match.

        ``keys`` (Q, G) order the gallery of each query, smaller first; they and ``gallery`` are
        without ignored images.
        """
        return Curve()

    def describe(self, settings: Mapping[str, Any], query: Side) -> dict[str, Any]:
        """The settings as the provenance of a ranking of these queries shows them."""
        return {name: value for name, value in settings.items() if value is not None}

    def results(self) -> tuple[Reported, ...]:
        """The results that papers report, the first of which is the headline."""
        return self.reported or (Reported(self.name),)

    def cmc_of(self, settings: Mapping[str, Any]) -> str:
        """What the CMC counts under these settings."""
        return self.cmc


class Curve(NamedTuple):
    """How a CMC differs from that of first matches: by their ranks (Q,), or as a whole."""

    first_ranks: Tensor | None = None
    cmc: Tensor | None = None
