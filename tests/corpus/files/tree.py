import os
import shutil
from pathlib import Path

base = Path("project")
for name in ("src/app.py", "src/util/text.py", "docs/index.md", "README.md"):
    target = base / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(f"# {name}\n")
print([str(path) for path in sorted(base.rglob("*.py"))])
for folder, folders, files in os.walk(base):
    folders.sort()
    print(folder, sorted(files))
shutil.copytree(base, "backup")
(base / "README.md").rename(base / "READ.md")
os.symlink("READ.md", base / "link.md")
print(os.readlink(base / "link.md"), (base / "link.md").read_text(), os.listdir(base))
shutil.rmtree("backup/src")
print(sorted(path.name for path in Path("backup").iterdir()), shutil.disk_usage(".").total > 0)
