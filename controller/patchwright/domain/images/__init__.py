"""Images: how references are read, scanned and chosen; pure."""
