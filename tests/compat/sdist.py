"""BBRL's own tests, which its source distribution brings: fetched once for each environment, and kept in it.

python tests/compat/sdist.py
"""

import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]


def fetched_tests():
    """Return the folder with BBRL's tests, of the version that is installed.

    Raises:
        OSError: the distribution cannot be fetched.
    """
    name = f"bbrl-{version('bbrl')}"
    folder = Path(sys.prefix) / "bbrl-sdist"
    if not (folder / name / "tests").is_dir():
        fetch = ["download", "--quiet", "--no-deps", "--no-binary", "bbrl", "--dest", folder, name.replace("-", "==")]
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *fetch]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, cwd=ROOT)
        except subprocess.CalledProcessError as error:
            raise OSError(error.stderr.strip().splitlines()[-1]) from error
        except subprocess.TimeoutExpired as error:
            raise OSError("the package index does not answer") from error
        with tarfile.open(folder / f"{name}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return folder / name / "tests"


if __name__ == "__main__":
    print(fetched_tests())
