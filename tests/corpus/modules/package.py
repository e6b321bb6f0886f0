import os

os.makedirs("toolbox/inner", exist_ok=True)
for name, text in {
    "toolbox/__init__.py": "from .core import run\n__all__ = ['run']\n",
    "toolbox/core.py": "from .inner import deep\n\ndef run(n):\n    return [deep.twice(i) for i in range(n)]\n",
    "toolbox/inner/__init__.py": "",
    "toolbox/inner/deep.py": "import functools\n\n@functools.lru_cache\ndef twice(n):\n    return n * 2\n",
}.items():
    with open(name, "w") as f:
        f.write(text)
import toolbox
from toolbox import run
from toolbox.inner import deep

print(run(4), deep.twice.cache_info().currsize, toolbox.__all__)
# %%
with open("faulty.py", "w") as f:
    f.write("value = 1\nraise RuntimeError('at import')\n")
try:
    import faulty
except RuntimeError as error:
    print(error)
try:
    import not_there
except ModuleNotFoundError as error:
    print(error.name)
