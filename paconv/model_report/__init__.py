"""What became of a network, as one page to look at: `paconv report`.

How data flows, one file per step:

    packed.py      a PABitConv -> its weights as level codes, how often each level occurs, what is never used
    parent.py      a reference -> the real weights behind each layer, and the tensors to compare on the way
    sampled.py     samples through both -> histograms of activations, shares of levels, errors
    float_twin.py  a packed model -> the same network with float convolutions in its places
    times.py       predicted seconds by layer and, with a stopwatch, measured ones
    labels.py      names of layers, without what can be left out
    advice.py      numbers of layers -> what would help most
    analysis.py    all of these -> contents.Report                     contents.py  what a page says, as plain data
    drawing.py     histograms -> paths of SVG                          render.py    Report -> HTML, by templates/

Nothing is computed in the templates, and nothing but the templates knows HTML.
"""
