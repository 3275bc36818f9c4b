"""No junk: every gallery image is ranked for every query, and no cameras are needed."""

from reid_ext.evaluation.protocols.protocol import Protocol

PROTOCOL = Protocol(
    name="generic",
    title="no junk",
    reference="Manning et al. 2008, Introduction to Information Retrieval, ch. 8",
    columns=("identities",),
    same=(),
    junk="",
)
