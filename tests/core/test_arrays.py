"""Which instances are meant."""

import numpy as np
import pytest

from troupe.core.arrays import as_indices
from troupe.core.errors import UserError


def test_ids_masks_and_all() -> None:
    assert as_indices(None, 3).tolist() == [0, 1, 2]
    assert as_indices(np.array([2, 0]), 3).tolist() == [2, 0]
    assert as_indices(np.array([False, True, True]), 3).tolist() == [1, 2]
    assert as_indices(np.zeros(3, np.bool_), 3).tolist() == []


@pytest.mark.parametrize("mask", [[True], [[True, False, True]]])
def test_a_mask_of_other_instances_is_told(mask: list[bool]) -> None:
    with pytest.raises(UserError, match="for 3 instances"):
        as_indices(np.array(mask), 3)
