"""Tables of figures, printed for a terminal, as Markdown, CSV or JSON: one look for every command."""
