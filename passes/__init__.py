"""The graph passes of `paconv optimize`, one file per pass, in the phases that paconv.pipeline runs them in.

tidy: no-ops, padding, dead nodes and equal constants. lower: quantized convolutions become PABitConv. fold: what stands
around a PABitConv goes into its constants. fuse: linked PABitConvs become chains of PALevelConv, and the way back.
graph: what the passes of several phases stand on.

A phase imports from `graph` and from the phases before it.
"""
