# SPDX-License-Identifier: Apache-2.0
"""What stands in tests/ec2 for AWS is used here too."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "ec2"))
