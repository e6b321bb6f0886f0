"""What coda costs, measured in pairs against the same work done bare and against named peers."""
