from pathlib import Path

Path("helpers.py").write_text(
    '"""Helpers of the task."""\nLIMIT = 3\n\n\ndef clamp(value):\n    if value > LIMIT:\n        return LIMIT\n    return value\n'
)
import helpers

print(helpers.clamp(10), helpers.__doc__)
# %%
import importlib

Path("helpers.py").write_text("LIMIT = 7\n\n\ndef clamp(value):\n    return min(value, LIMIT)\n\n\ndef extra():\n    return 'new'\n")
helpers = importlib.reload(helpers)
print(helpers.clamp(10), helpers.extra())
from helpers import clamp as limited

print(limited(2))
