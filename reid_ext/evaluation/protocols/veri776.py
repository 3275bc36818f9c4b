"""VeRi-776: gallery images of the query's vehicle and camera are junk."""

from reid_ext.evaluation.protocols.protocol import Protocol

PROTOCOL = Protocol(
    name="veri776",
    title="VeRi-776",
    reference="Liu et al., ECCV 2016; the authors' code has average_precision='trapezoid'",
)
