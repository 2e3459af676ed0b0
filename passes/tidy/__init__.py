"""Passes that leave what is computed as it is, and take out what is in the way or not needed."""
