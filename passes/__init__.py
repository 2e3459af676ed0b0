"""The graph passes of `paconv optimize`: one file a pass (paconv.pipeline runs them), helpers beside them."""
