"""Which session is opened for which settings."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own, because a half-loaded library would be left to the other tests.
_WITHOUT_GRPC = """
import sys
sys.modules["grpc"] = None
from consumer.adapters.spark.access import open_session
from consumer.domain.errors import ConfigurationError
from consumer.settings.connections import SparkSettings
try:
    open_session(SparkSettings.model_validate({"remote": "sc://127.0.0.1:1"}))
except ConfigurationError as error:
    print(error)
"""


def test_without_the_client_library_the_error_names_package_and_extra() -> None:
    told = subprocess.check_output([sys.executable, "-c", _WITHOUT_GRPC], text=True)

    assert told.startswith("spark.remote: the client of Spark Connect can't be loaded: ")
    assert "grpc" in told
    assert told.endswith("Remedy: pip install 'icehaul[connect]'\n")
