"""Passes from the functions PAWeight and PAActivation to packed weights and PABitConv, and the forms they need."""
