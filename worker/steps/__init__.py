"""The steps, in order."""

STEPS = ("pull", "stage", "join", "score", "decide", "diff", "write_back", "record", "notify")
