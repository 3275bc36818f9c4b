"""MSMT17: gallery images of the query's identity and camera are junk."""

from reid_ext.evaluation.protocols.protocol import Protocol

PROTOCOL = Protocol(name="msmt17", title="MSMT17", reference="Wei et al., CVPR 2018")
