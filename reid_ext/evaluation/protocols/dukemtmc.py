"""DukeMTMC-reID: gallery images of the query's identity and camera are junk."""

from reid_ext.evaluation.protocols.protocol import Protocol

PROTOCOL = Protocol(
    name="dukemtmc-reid",
    title="DukeMTMC-reID",
    reference="Zheng et al., ICCV 2017; the authors' Matlab evaluation",
)
