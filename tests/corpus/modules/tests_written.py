from pathlib import Path

Path("maths.py").write_text("def add(a, b):\n    return a + b\n")
Path("check_maths.py").write_text(
    "import unittest\nimport maths\n\n\nclass TestMaths(unittest.TestCase):\n"
    "    def test_add(self):\n        self.assertEqual(maths.add(1, 2), 3)\n\n"
    "    def test_wrong(self):\n        self.assertEqual(maths.add(1, 2), 4)\n"
)
import io
import unittest

import check_maths

result = unittest.TextTestRunner(stream=io.StringIO()).run(unittest.defaultTestLoader.loadTestsFromModule(check_maths))
print(result.testsRun, len(result.failures), result.wasSuccessful())
