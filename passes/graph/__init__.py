"""What passes stand on: the graph, what a pass is, questions about nodes, reasons and the report."""
