"""Passes that make chains of linked PABitConvs: channel-last, with a byte per activation between them.

link_convs starts a chain; link_depthwise, sink_transposes, pool_levels and move_levels bring what lies between to the
same form, and fuse_residual, fuse_clip and fuse_levels take it into PALevelConv and PADepthwiseConv. unfuse is the way
back. layout, moves, depthwise, finishes and comparisons say what channel-last tensors, moves of data, depthwise
convolutions, nodes that take in what follows them, and comparisons are.
"""
