"""What docs/python.md shows runs."""

import contextlib
import io
import os
import re
import unittest

from support import ROOT, Case


class Documents(Case):
    def run_blocks(self, document, least):
        text = (ROOT / document).read_text()
        before = os.getcwd()
        os.chdir(ROOT)
        self.addCleanup(os.chdir, before)
        names, count = {}, 0
        for match in re.finditer(r"^```python\n(.*?)^```", text, re.M | re.S):
            line = text[:match.start()].count("\n") + 1
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile("\n" * line + match.group(1), document, "exec"), names)
            count += 1
        self.assertGreaterEqual(count, least)

    def test_page_of_the_package(self):
        self.run_blocks("docs/python.md", 7)

    def test_first_page(self):
        self.run_blocks("README.md", 1)


if __name__ == "__main__":
    unittest.main()
