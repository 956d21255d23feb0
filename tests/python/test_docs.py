"""What docs/python.md shows runs."""

import contextlib
import io
import os
import re
import unittest

from support import ROOT, Case


class Documents(Case):
    def test_blocks_run(self):
        text = (ROOT / "docs" / "python.md").read_text()
        before = os.getcwd()
        os.chdir(ROOT)
        self.addCleanup(os.chdir, before)
        names, count = {}, 0
        for match in re.finditer(r"^```python\n(.*?)^```", text, re.M | re.S):
            line = text[:match.start()].count("\n") + 1
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile("\n" * line + match.group(1), "docs/python.md", "exec"), names)
            count += 1
        self.assertGreaterEqual(count, 7)


if __name__ == "__main__":
    unittest.main()
