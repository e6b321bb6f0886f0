import contextlib
import json
import os
import tempfile


@contextlib.contextmanager
def replacing(path):
    fd, name = tempfile.mkstemp(dir=os.path.dirname(path) or ".")
    try:
        with os.fdopen(fd, "w") as f:
            yield f
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


with replacing("config.json") as f:
    json.dump({"version": 1}, f)
with contextlib.suppress(RuntimeError), replacing("config.json") as f:
    f.write("half")
    raise RuntimeError("power cut")
print(open("config.json").read(), [name for name in os.listdir() if name.startswith("tmp")])
