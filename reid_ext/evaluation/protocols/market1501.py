"""Market-1501: gallery images of the query's identity and camera are junk, and so is identity -1.

Identity 0 stays in the gallery: its images are distractors.
"""

from reid_ext.evaluation.protocols.protocol import Protocol

PROTOCOL = Protocol(
    name="market1501",
    title="Market-1501",
    reference="Zheng et al., ICCV 2015; the authors' Matlab evaluation",
)
