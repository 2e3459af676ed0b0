"""From what a convolution gives to the outputs, in the layout that is asked for."""
