import runpy
import sys
from pathlib import Path

Path("script.py").write_text(
    "import sys\n\n\ndef main():\n    print('args', sys.argv[1:])\n    return 3\n\n\nif __name__ == '__main__':\n    code = main()\n"
)
sys.argv = ["script.py", "--fast"]
names = runpy.run_path("script.py", run_name="__main__")
print(names["code"])
namespace = {}
exec("def square(n):\n    return n * n\n\n\nanswer = square(12)", namespace)
print(namespace["answer"], eval("square(3) + 1", namespace))
print(compile("1 + 2", "<made>", "eval").co_filename, __name__)
