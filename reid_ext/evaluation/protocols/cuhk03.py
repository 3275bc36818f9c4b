"""CUHK03, new protocol: gallery images of the query's identity and camera are junk."""

from reid_ext.evaluation.protocols.protocol import Protocol

PROTOCOL = Protocol(
    name="cuhk03-np",
    title="CUHK03 (new protocol)",
    reference="Zhong et al., CVPR 2017",
)
