"""The junk rules of the datasets. A new protocol of this kind is one line in PROTOCOLS."""

from typing import NamedTuple


class Protocol(NamedTuple):
    """What is left out of a query's gallery before ranking."""

    same_camera_is_junk: bool = True  # gallery images of the query's identity and camera
    ignored_identity: int | None = None  # gallery images of this identity, for every query

    def __str__(self) -> str:
        rules = []
        if self.same_camera_is_junk:
            rules.append("same identity and camera")
        if self.ignored_identity is not None:
            rules.append(f"gallery identity {self.ignored_identity}")
        return ", ".join(rules) or "none"


PROTOCOLS = {
    "market1501": Protocol(ignored_identity=-1),  # identity 0 stays: its images are distractors
    "dukemtmc-reid": Protocol(),
    "cuhk03-np": Protocol(),
    "msmt17": Protocol(),
    "veri776": Protocol(),
    "generic": Protocol(same_camera_is_junk=False),
}

CLASSIC = "cuhk03-classic"  # has a gallery per query: evaluate_single_shot
SYSU = "sysu-mm01"  # draws galleries: evaluate_sysu
REGDB = "regdb"  # evaluate_regdb
