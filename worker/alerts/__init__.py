"""Channels by which people are told; `notify` finds one by its file's name."""
