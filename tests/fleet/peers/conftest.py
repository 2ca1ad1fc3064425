import pytest
import ray

from troupe.fleet.cluster import connect


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """One local Ray for the module's tests."""
    connect(None)
    yield
    ray.shutdown()
